"""Looking at all models of a project before any work: are their files there, whole, and of one piece?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.errors import InputError
from gotd_assets.models.encoder import is_static, lexical_tokenizer
from gotd_assets.models.encoder_folder import SETTING, read_encoder_folder
from gotd_assets.models.language import located
from gotd_assets.models.location import find_model, pinned
from gotd_assets.models.model_files import (
    json_object,
    look_at_json,
    look_at_tokenizer,
    look_at_weights,
    refuse_pointer,
    tensors_of,
)
from gotd_assets.models.toxicity import classifier_folder, toxic_outputs

if TYPE_CHECKING:
    from gotd_assets.settings.encoder import EncoderSettings
    from gotd_assets.settings.evaluation import ToxicitySettings
    from gotd_assets.settings.training import TrainingSettings


def look_at_encoder(settings: EncoderSettings, root: Path) -> None:
    """Look at the encoder's files; one on the hub is not asked for.

    Raises:
        InputError: something is missing, damaged, or asks for what is not supported.
    """
    if settings.kind == "lexical" or settings.lexical is not None:
        look_at_tokenizer(lexical_tokenizer(settings, root).parent, SETTING)
    if settings.kind == "lexical":
        return
    path = find_model(settings.model, root, SETTING)
    if path is None:
        if settings.kind != "precomputed":
            pinned(settings.model, settings.revision, SETTING)
        return
    if path.is_file():
        refuse_pointer(path, SETTING)
        return
    if settings.kind == "precomputed":
        for file in sorted(file for file in path.iterdir() if file.is_file()):
            refuse_pointer(file, SETTING)
        return
    folder = read_encoder_folder(path, settings)
    folder.prompt(settings)
    look_at_json(path, SETTING)
    for step in folder.after:
        look_at_json(step.folder, SETTING)
        look_at_weights(step.folder, SETTING)
    transformer = path / folder.transformer
    if is_static(settings, path):
        tensors_of(transformer / "model.safetensors", SETTING)
        look_at_tokenizer(transformer, SETTING)
    else:
        look_at_model(transformer, SETTING)


def look_at_base_model(settings: TrainingSettings, root: Path) -> None:
    """Look at the base model's files; one on the hub is not asked for.

    Raises:
        InputError: something is missing or damaged.
    """
    path = located(settings, root).path
    if path is None:
        return
    if path.is_dir():
        look_at_model(path, "training.model")
        return
    refuse_pointer(path, "training.model")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise InputError(f"training.model: {path} is no GGUF file: it is damaged, copy it again")


def look_at_classifier(settings: ToxicitySettings, root: Path) -> None:
    """Look at the files of the classifier of toxicity, and whether it has the labels that mean toxic.

    Raises:
        InputError: something is missing or damaged.
    """
    folder = classifier_folder(settings, root)
    look_at_model(folder, "toxicity.model")
    labels = json_object(folder / "config.json", "toxicity.model").get("id2label")
    if isinstance(labels, dict):
        toxic_outputs(settings, labels)


def look_at_model(folder: Path, setting: str) -> None:
    """Look at the folder of a model of transformers: configuration, headers of weights, tokenizer.

    Raises:
        InputError: something is missing or damaged.
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"{setting}: {folder} has no config.json: copy it from where the model is from")
    for name in ("config.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        json_object(folder / name, setting)
    look_at_json(folder, setting)
    look_at_weights(folder, setting)
    look_at_tokenizer(folder, setting)
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{setting}: {folder} has no weights (*.safetensors); pickled weights (*.bin, *.pt) are not loaded: convert them "
            "with transformers' save_pretrained"
        )
