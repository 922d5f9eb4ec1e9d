"""An encoder's version: it changes when its files do, the settings that shape vectors, or what is read of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256, fingerprint
from gotd_assets.models.encoder_folder import (
    SETTING,
    EncoderFolder,
    earlier_modes,
    read_encoder_folder,
)
from gotd_assets.models.location import find_model, hub_folder, pinned
from gotd_assets.models.lower_case import has_lower_case
from gotd_assets.models.model_files import json_object, remote_code, tensors_of, tokenizer_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.encoder import EncoderSettings

# Changes whenever the same model and text would give other vectors.
CODE_VERSION = "1"
_STATIC_CODE_VERSION = "2"
_LEXICAL_CODE_VERSION = "lexical-1"
# Names of the table of static embeddings: as model2vec writes it, and as sentence-transformers does.
OF_SENTENCE_TRANSFORMERS = "embedding.weight"
STATIC_EMBEDDINGS = frozenset({"embeddings", OF_SENTENCE_TRANSFORMERS})
_CONTENT = (".json", ".safetensors", ".txt", ".model", ".npy", ".parquet")


def encoder_version(settings: EncoderSettings, root: Path) -> str:
    """Hash of the encoder's files and of every setting that changes its vectors; torch is not loaded.

    Raises:
        InputError: the folder is missing, damaged or has no weights, or a hub id comes without `revision`.
    """
    shaping = shaping_settings(settings)
    if settings.kind == "lexical":
        tokenizer = file_sha256(lexical_tokenizer(settings, root))
        return fingerprint({"code": _LEXICAL_CODE_VERSION, "tokenizer": tokenizer, **shaping})
    if settings.lexical is not None:
        plain = settings.model_copy(update={"lexical": None})
        words = settings.model_copy(update={"kind": "lexical", "lexical": None, "prompt": None, "target_prompt": None})
        parts = [encoder_version(part, root) for part in (plain, words)]
        return fingerprint({"beside": parts, "share": settings.lexical})
    path = find_model(settings.model, root, SETTING)
    if path is None:
        if settings.kind == "precomputed":
            raise InputError(
                f"encoder.model: there are no vectors at {settings.model!r}: name a folder or file that exists"
            )
        pinned(settings.model, settings.revision, SETTING)
        here = hub_folder(settings.model, settings.revision, SETTING)
        # Release 0.1 looked at no file on the hub to know how vectors are pooled.
        earlier = ("mean",) if settings.pooling == "auto" else (settings.pooling,)
        reading = {} if here is None else _reading(settings, here, earlier)
        return fingerprint({"code": CODE_VERSION, "hub": settings.model, **shaping, **reading})
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in _CONTENT)
    if path.is_dir() and not any(file.suffix in (".safetensors", ".npy", ".parquet") for file in files):
        raise InputError(
            f"encoder.model: {path} has no weights (*.safetensors); pickled weights (*.bin, *.pt) are not loaded: "
            "convert them with transformers' save_pretrained"
        )
    content = {str(file.relative_to(path)) if path.is_dir() else file.name: file_sha256(file) for file in files}
    code = _STATIC_CODE_VERSION if is_static(settings, path) else CODE_VERSION
    reading = {}
    if path.is_dir() and settings.kind != "precomputed":
        reading = _reading(settings, path, earlier_modes(settings, path))
    return fingerprint({"code": code, "files": content, **shaping, **reading})


def lexical_tokenizer(settings: EncoderSettings, root: Path) -> Path:
    """The tokenizer.json whose tokens lexical vectors count.

    Raises:
        InputError: the model is not a folder on this machine, or has none.
    """
    path = find_model(settings.model, root, SETTING)
    folder = None if path is None or path.is_file() else path / read_encoder_folder(path, settings).transformer
    if folder is None or not (folder / "tokenizer.json").is_file():
        raise InputError(
            f"encoder.model {settings.model!r}: lexical vectors count the tokens of a tokenizer.json, and there is no folder "
            "with one: name the folder of any model that has it"
        )
    return folder / "tokenizer.json"


def is_static(settings: EncoderSettings, path: Path | None) -> bool:
    """Whether the encoder at `path` is one of static embeddings: said so, or a folder in model2vec's format."""
    if settings.kind != "auto" or path is None or path.is_file():
        return settings.kind == "static"
    if (path / "modules.json").is_file():
        return read_encoder_folder(path, settings).is_static
    kind = json_object(path / "config.json", SETTING).get("model_type")
    if kind is not None:
        return bool(kind == "model2vec")
    # Neither older releases of model2vec nor of transformers wrote what a folder holds.
    weights = path / "model.safetensors"
    return weights.is_file() and not STATIC_EMBEDDINGS.isdisjoint(tensors_of(weights, SETTING))


def counts_unknown(folder: EncoderFolder, path: Path) -> bool:
    """Whether the unknown token counts in a text's mean: it does not in model2vec's folders, it does in others."""
    weights = path / folder.transformer / "model.safetensors"
    return folder.is_static and weights.is_file() and OF_SENTENCE_TRANSFORMERS in tensors_of(weights, SETTING)


def unknown_token(tokenizer: Tokenizer) -> int:
    """Id of the token that stands for what the tokenizer does not know; -1 if there is none."""
    model = json.loads(tokenizer.to_str())["model"]
    number = model["unk_id"] if model.get("unk_id") is not None else tokenizer.token_to_id(model.get("unk_token") or "")
    return -1 if number is None else int(number)


def shaping_settings(settings: EncoderSettings) -> dict[str, Json]:
    """The settings that change vectors, but for the model itself; `backend` only where it is not PyTorch."""
    shaping: dict[str, Json] = settings.model_dump(
        mode="json",
        exclude={"model", "device", "batch_tokens", "trust_remote_code", "tune", "prompt", "target_prompt", "lexical"},
    )
    if settings.backend == "torch":
        del shaping["backend"]
    return shaping


def resolved_prompt(settings: EncoderSettings, root: Path) -> str:
    """What is put before every text; torch is not loaded.

    Raises:
        InputError: the model is missing, or its folder is damaged.
    """
    path = find_model(settings.model, root, SETTING)
    here = path or hub_folder(settings.model, pinned(settings.model, settings.revision, SETTING), SETTING)
    return read_encoder_folder(here, settings).prompt(settings)


def _reading(settings: EncoderSettings, path: Path, earlier: tuple[str, ...] | None) -> dict[str, Json]:
    """What release 0.1 read otherwise in this folder, or not at all, so that its vectors are others now; often nothing.

    `earlier` is how it pooled, None if it refused to.
    """
    folder = read_encoder_folder(path, settings)
    transformer = path / folder.transformer
    found: dict[str, Json] = {}
    if prompt := folder.prompt(settings):
        found["prompt"] = prompt
    if folder.dimensions is not None:
        found["dimensions"] = folder.dimensions
    if folder.after and not settings.normalize:
        found["after"] = [step.kind for step in folder.after]
    if folder.is_static:
        tokenizer = transformer / "tokenizer.json"
        if (
            counts_unknown(folder, path)
            and tokenizer.is_file()
            and unknown_token(tokenizer_of(tokenizer, SETTING)) >= 0
        ):
            found["unknown"] = "counts"
    elif not is_static(settings, path):
        found |= _reading_of_transformer(settings, folder, transformer, earlier)
    return {"reading": found} if found else {}


def _reading_of_transformer(
    settings: EncoderSettings, folder: EncoderFolder, transformer: Path, earlier: tuple[str, ...] | None
) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if folder.modes != earlier:
        found["pooling"] = list(folder.modes)
    tokens, earlier_tokens = _tokens(settings, folder, transformer)
    if tokens != earlier_tokens:
        found["tokens"] = tokens
    if folder.lower_case and not has_lower_case(transformer):
        found["lower_case"] = True
    if folder.arguments:
        found["arguments"] = {kind: dict(given) for kind, given in folder.arguments.items()}
    if settings.trust_remote_code:
        files = {str(file.relative_to(transformer)): file_sha256(file) for file in remote_code(transformer, SETTING)}
        found |= {"remote_code": files} if files else {}
    return found


def _tokens(settings: EncoderSettings, folder: EncoderFolder, transformer: Path) -> tuple[int, int]:
    """How many tokens a text is cut to, and to how many release 0.1 cut it, which took the tokenizer's number only."""
    config = json_object(transformer / "config.json", SETTING)
    said = json_object(transformer / "tokenizer_config.json", SETTING).get("model_max_length")
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    given = [settings.max_tokens, *(one for one in (positions,) if isinstance(one, int) and one > 0)]
    earlier = min([*given, said]) if isinstance(said, int | float) else min(given)
    return min([*given, folder.max_tokens]) if folder.max_tokens else int(earlier), int(earlier)
