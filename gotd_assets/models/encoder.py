"""What an encoder's files say, and a version that changes when they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256, fingerprint
from gotd_assets.models.location import find_model, hub_options, pinned

if TYPE_CHECKING:
    import torch

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.encoder import EncoderSettings


def load_transformer(settings: EncoderSettings, root: Path, dtype: torch.dtype) -> tuple[Any, Any, str]:
    """The encoder's model on the processor, its tokenizer, and how its token vectors are pooled.

    Raises:
        InputError: it is not there, is no encoder of transformers, or asks for a pooling that is not supported.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = find_model(settings.model, root, SETTING)
    name = settings.model if path is None else str(path)
    pooling = pooling_of(settings, path)
    options: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    try:
        if path is None:
            options |= hub_options(settings.model, settings.revision, SETTING)
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, **options)
        model = AutoModel.from_pretrained(name, dtype=dtype, use_safetensors=True, **options)
    except (OSError, ValueError) as error:
        raise InputError(
            f"encoder.model {settings.model!r} cannot be loaded: {error}. Name a local folder with config.json, "
            "tokenizer and *.safetensors, or make the hub reachable"
        ) from error
    return model, tokenizer, pooling


def most_tokens(settings: EncoderSettings, model: Any, tokenizer: Any) -> int:
    """How many tokens of a text the model is given."""
    # RoBERTa-like models count more positions than tokens; their tokenizers know the tokens.
    positions = getattr(model.config, "max_position_embeddings", settings.max_tokens)
    return int(min(settings.max_tokens, positions, tokenizer.model_max_length))


# Changes whenever the same model and text would give other vectors.
CODE_VERSION = "1"
_STATIC_CODE_VERSION = "2"
SETTING = "encoder.model"
# Names of the table of static embeddings: as model2vec writes it, and as sentence-transformers does.
STATIC_EMBEDDINGS = frozenset({"embeddings", "embedding.weight"})
_MODES = {"mean": "mean_tokens", "cls": "cls_token"}
_CONTENT = (".json", ".safetensors", ".txt", ".model", ".npy", ".parquet")


def encoder_version(settings: EncoderSettings, root: Path) -> str:
    """Hash of the encoder's files and of every setting that changes its vectors; torch is not loaded.

    Raises:
        InputError: the folder is missing or has no weights, or a hub id comes without `revision`.
    """
    shaping = shaping_settings(settings)
    path = find_model(settings.model, root, SETTING)
    if path is None:
        if settings.kind == "precomputed":
            raise InputError(
                f"encoder.model: there are no vectors at {settings.model!r}: name a folder or file that exists"
            )
        pinned(settings.model, settings.revision, SETTING)
        return fingerprint({"code": CODE_VERSION, "hub": settings.model, **shaping})
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in _CONTENT)
    if path.is_dir() and not any(file.suffix in (".safetensors", ".npy", ".parquet") for file in files):
        raise InputError(
            f"encoder.model: {path} has no weights (*.safetensors); pickled weights (*.bin, *.pt) are not loaded: "
            "convert them with transformers' save_pretrained"
        )
    content = {str(file.relative_to(path)) if path.is_dir() else file.name: file_sha256(file) for file in files}
    code = _STATIC_CODE_VERSION if is_static(settings, path) else CODE_VERSION
    return fingerprint({"code": code, "files": content, **shaping})


def is_static(settings: EncoderSettings, path: Path | None) -> bool:
    """Whether the encoder at `path` is one of static embeddings: said so, or a folder in model2vec's format."""
    if settings.kind != "auto" or path is None or path.is_file():
        return settings.kind == "static"
    config = path / "config.json"
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else "model2vec"
    # Neither older releases of model2vec nor of transformers wrote what a folder holds.
    return kind == "model2vec" if kind is not None else _has_static_embeddings(path / "model.safetensors")


def _has_static_embeddings(weights: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    if not weights.is_file():
        return False
    try:
        with safe_open(weights, "numpy") as tensors:
            return not STATIC_EMBEDDINGS.isdisjoint(tensors.keys())
    except SafetensorError as error:
        raise InputError(
            f"{SETTING}: {weights} cannot be read ({error}): the file is damaged, copy it again"
        ) from error


def shaping_settings(settings: EncoderSettings) -> dict[str, Json]:
    """The settings that change vectors, but for the model itself; `backend` only where it is not PyTorch."""
    shaping: dict[str, Json] = settings.model_dump(
        mode="json", exclude={"model", "device", "batch_tokens", "trust_remote_code", "tune"}
    )
    if settings.backend == "torch":
        del shaping["backend"]
    return shaping


def pooling_of(settings: EncoderSettings, path: Path | None) -> str:
    """'mean' or 'cls': as set, else what a sentence-transformers folder says, else mean.

    Raises:
        InputError: the folder asks for a pooling that is not supported.
    """
    _refuse_unknown_modules(path)
    if settings.pooling != "auto":
        return settings.pooling
    config = path / "1_Pooling" / "config.json" if path is not None else None
    if config is None or not config.is_file():
        return "mean"
    said = json.loads(config.read_text(encoding="utf-8"))
    # Since its version 6 sentence-transformers names the mode, or several, instead of a switch for each.
    named = said.get("pooling_mode", [])
    modes = {_MODES.get(mode, mode) for mode in ([named] if isinstance(named, str) else named)} | {
        key.removeprefix("pooling_mode_")
        for key, value in said.items()
        if value is True and key.startswith("pooling_mode_")
    }
    for name, mode in _MODES.items():
        if modes == {mode}:
            return name
    raise InputError(f"{config} asks for pooling {sorted(modes)}; supported are mean and cls: set encoder.pooling")


def write_pooling(folder: Path, pooling: str, dimension: int, max_tokens: int) -> None:
    """Make the model in `folder` one that sentence-transformers loads, and that says how it is pooled."""
    modules = ("Transformer", ""), ("Pooling", "1_Pooling")
    listing = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(modules)
    ]
    modes = {f"pooling_mode_{mode}": pooling == name for name, mode in _MODES.items()}
    (folder / "1_Pooling").mkdir()
    for name, content in (
        ("modules.json", listing),
        ("sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False}),
        ("1_Pooling/config.json", {"word_embedding_dimension": dimension, **modes}),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _refuse_unknown_modules(path: Path | None) -> None:
    """A sentence-transformers folder may transform the pooled vector further; leaving that out would be wrong."""
    listing = path / "modules.json" if path is not None else None
    if listing is None or not listing.is_file():
        return
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in json.loads(listing.read_text(encoding="utf-8"))]
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise InputError(f"{listing} asks for {', '.join(unknown)}, which is not supported: take a model without it")
