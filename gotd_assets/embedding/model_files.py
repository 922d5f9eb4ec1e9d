"""Where an encoder's files are, and a version that changes when they do."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256, fingerprint

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings import EncoderSettings

# Changes whenever the same model and text would give other vectors.
CODE_VERSION = "1"
_CONTENT = (".json", ".safetensors", ".txt", ".model", ".npy", ".parquet")


def find_model(model: str, root: Path) -> Path | None:
    """Folder or file that `model` names: a path relative to `root`, or 'package:NAME[/SUB]'; None for a hub id.

    Raises:
        InputError: the package is not installed or lacks that part, or a path-like name does not exist.
    """
    if model.startswith("package:"):
        name, _, inner = model.removeprefix("package:").partition("/")
        try:
            spec = importlib.util.find_spec(name.replace("-", "_"))
        except (ImportError, ValueError):
            spec = None
        locations = list(spec.submodule_search_locations or []) if spec else []
        path = Path(locations[0], inner) if locations else None
        if path is None or not path.exists():
            raise InputError(f"{model}: no such installed package or no such part in it; install it with pip first")
        return path
    path = root / Path(model).expanduser()
    if path.exists():
        return path
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise InputError(f"the model {model!r} is not there (looked at {path}): correct the path in gotd.yaml")
    return None


def encoder_version(settings: EncoderSettings, root: Path) -> str:
    """Hash of the encoder's files and of every setting that changes its vectors; torch is not loaded.

    Raises:
        InputError: the folder is missing or has no weights, or a hub id comes without `revision`.
    """
    shaping = shaping_settings(settings)
    path = find_model(settings.model, root)
    if path is None:
        if settings.kind == "precomputed":
            raise InputError(
                f"encoder.model: there are no vectors at {settings.model!r}: name a folder or file that exists"
            )
        if settings.revision is None:
            raise InputError(
                f"encoder.model {settings.model!r} is no folder here, so it is taken for a hub id, and those need "
                "`encoder.revision` (a commit), so that runs can be repeated"
            )
        return fingerprint({"code": CODE_VERSION, "hub": settings.model, **shaping})
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in _CONTENT)
    if path.is_dir() and not any(file.suffix in (".safetensors", ".npy", ".parquet") for file in files):
        raise InputError(
            f"encoder.model: {path} has no weights (*.safetensors); pickled weights (*.bin, *.pt) are not loaded: "
            "convert them with transformers' save_pretrained"
        )
    content = {str(file.relative_to(path)) if path.is_dir() else file.name: file_sha256(file) for file in files}
    return fingerprint({"code": CODE_VERSION, "files": content, **shaping})


def shaping_settings(settings: EncoderSettings) -> dict[str, Json]:
    """The settings that change vectors, but for the model itself; `backend` only where it is not PyTorch."""
    shaping: dict[str, Json] = settings.model_dump(
        mode="json", exclude={"model", "device", "batch_tokens", "trust_remote_code"}
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
    modes = {
        key.removeprefix("pooling_mode_")
        for key, value in json.loads(config.read_text()).items()
        if value is True and key.startswith("pooling_mode_")
    }
    for name, mode in (("mean", "mean_tokens"), ("cls", "cls_token")):
        if modes == {mode}:
            return name
    raise InputError(f"{config} asks for pooling {sorted(modes)}; supported are mean and cls: set encoder.pooling")


def _refuse_unknown_modules(path: Path | None) -> None:
    """A sentence-transformers folder may transform the pooled vector further; leaving that out would be wrong."""
    listing = path / "modules.json" if path is not None else None
    if listing is None or not listing.is_file():
        return
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in json.loads(listing.read_text(encoding="utf-8"))]
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise InputError(f"{listing} asks for {', '.join(unknown)}, which is not supported: take a model without it")
