"""Base language models: where they are, which version they are, and how they are loaded."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.artifacts.atomic import folder_made, sweep
from gotd_assets.artifacts.lock import held
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256, fingerprint
from gotd_assets.models.location import find_model, hub_options, pinned
from gotd_assets.models.pretrained import load_tokenizer, load_weights, positions_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.settings.training import TrainingSettings

_SETTING = "training.model"
# What from_pretrained reads; a README beside the weights is not part of the model.
_MODEL_FILES = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja", ".gguf", ".py"})
_PICKLED_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


@dataclasses.dataclass(frozen=True)
class BaseModel:
    """Where `training.model` points: a file or folder (`path`), or a hub id at a revision."""

    path: Path | None
    hub_id: str = ""
    revision: str | None = None


def model_version(settings: TrainingSettings, root: Path) -> str:
    """Version of the base model: a hash of the contents of its files, or `id@revision` for a model on the hub.

    Args:
        settings: names the model.
        root: folder that a relative path is relative to.

    Raises:
        InputError: the path does not exist, the folder has no safetensors weights (pickled weights are refused), or a
            hub id comes without revision.
    """
    source = located(settings, root)
    if source.path is None:
        return f"{source.hub_id}@{source.revision}"
    return _content_version(source.path)


def load_language_model(
    settings: TrainingSettings, root: Path, cache: Path
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model in float32 on the CPU, and its tokenizer.

    A GGUF file is dequantised once and kept as safetensors below `cache`, which later calls read; concurrent processes
    wait for the first. Only safetensors are read, and remote code runs only if `settings.trust_remote_code` says so.

    Args:
        settings: model, revision, objective and trust_remote_code are used.
        root: folder that a relative path is relative to.
        cache: folder for dequantised weights, made if missing.

    Raises:
        InputError: as `model_version`; or the files are not a model of the objective, such as an encoder whose
            masked-language-modelling head is missing.
    """
    source = located(settings, root)
    if source.path is None:
        where = hub_options(source.hub_id, source.revision, _SETTING)
        return _from_pretrained(settings.model, source.hub_id, settings, **where)
    if source.path.suffix == ".gguf":
        folder = _dequantised(source.path, settings, cache)
        return _from_pretrained(settings.model, folder, settings)
    return _from_pretrained(settings.model, source.path, settings)


def readable_model(settings: TrainingSettings, root: Path, cache: Path) -> BaseModel:
    """Where the base model is in a form that everything of transformers reads: a GGUF file's folder is its dequantised one.

    Raises:
        InputError: as `load_language_model`.
    """
    source = located(settings, root)
    if source.path is not None and source.path.suffix == ".gguf":
        return BaseModel(_dequantised(source.path, settings, cache))
    return source


def load_trained_model(folder: Path, settings: TrainingSettings) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer that pre-fine-tuning wrote into `folder` (its `model` subfolder, or that folder itself).

    Raises:
        InputError: there is no such model, or it is not one of the settings' objective.
    """
    inner = folder / "model"
    path = inner if inner.is_dir() else folder
    _check_folder(path, str(path))
    return _from_pretrained(str(path), path, settings)


def located(settings: TrainingSettings, root: Path) -> BaseModel:
    """Where the base model is.

    Raises:
        InputError: as `model_version`.
    """
    name = settings.model
    path = find_model(name, root, _SETTING)
    if path is None:
        return BaseModel(None, name, pinned(name, settings.revision, _SETTING))
    if path.is_dir():
        _check_folder(path, name)
    elif path.suffix == ".safetensors":
        raise InputError(f"training.model {name!r} is a single weights file: name the folder {path.parent} instead")
    elif path.suffix != ".gguf":
        raise InputError(f"training.model {name!r}: {path} is neither a folder nor a .gguf file")
    return BaseModel(path)


def _check_folder(folder: Path, name: str) -> None:
    if not folder.is_dir():
        raise InputError(f"model {name!r}: there is no folder {folder}")
    if any(folder.glob("*.safetensors")):
        return
    ggufs = sorted(file.name for file in folder.glob("*.gguf"))
    if ggufs:
        raise InputError(f"model {name!r} is a folder of GGUF files: name the file, one of {', '.join(ggufs)}")
    pickled = sorted(file.name for pattern in _PICKLED_WEIGHTS for file in folder.glob(pattern))
    if pickled:
        raise InputError(
            f"model {name!r}: {folder} has weights only as {', '.join(pickled)}, which can run code when they are "
            "read; convert them to model.safetensors (save_pretrained in transformers writes that)"
        )
    raise InputError(f"model {name!r}: {folder} holds no weights (*.safetensors)")


def _content_version(path: Path) -> str:
    if path.is_file():
        return fingerprint({"gguf": file_sha256(path)})
    files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix in _MODEL_FILES)
    return fingerprint({file.name: file_sha256(file) for file in files})


def _dequantised(gguf: Path, settings: TrainingSettings, cache: Path) -> Path:
    """Folder with the weights of `gguf` as float32 safetensors and its tokenizer, made on first use."""
    folder = cache / f"gguf-{_content_version(gguf)}-{settings.objective}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with held(cache / f".{folder.name}.lock"):
        if not folder.is_dir():
            sweep(cache)
            with folder_made(folder) as partial:
                with _without_a_bar():
                    model, tokenizer = _from_pretrained(settings.model, gguf.parent, settings, gguf_file=gguf.name)
                save_model(model, tokenizer, partial)
    return folder


@contextlib.contextmanager
def _without_a_bar() -> Iterator[None]:
    """Keep transformers from drawing the bar of every tensor of a GGUF file, for which it has no setting."""
    from transformers import modeling_gguf_pytorch_utils as reader

    drawn = reader.tqdm
    reader.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        reader.tqdm = drawn


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the model as safetensors, with configuration and tokenizer, into `folder`."""
    # Weights that came from a GGUF file are dense by now; transformers goes on calling them quantised.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _from_pretrained(
    name: str, path: Path | str, settings: TrainingSettings, **where: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    subject = f"training.model {name!r}"
    architecture = AutoModelForCausalLM if settings.objective == "causal" else AutoModelForMaskedLM
    options = {"trust_remote_code": settings.trust_remote_code, **where}
    tokenizer = load_tokenizer(path, subject, **options)
    model = load_weights(
        architecture,
        path,
        subject,
        f"a {settings.objective} language model",
        remedy=f"its head is missing, or it was made for something else (training.objective is {settings.objective!r}); "
        "take a model that was saved with its language modelling head",
        dtype=torch.float32,
        **options,
    )
    size = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > size:
        raise InputError(
            f"training.model {name!r}: its tokenizer knows {len(tokenizer)} tokens but the model {size}; "
            "they do not belong together"
        )
    positions = positions_of(model)
    if positions is not None and settings.max_tokens > positions:
        raise InputError(
            f"training.max_tokens is {settings.max_tokens}, but training.model {name!r} has {positions} positions: "
            f"set training.max_tokens to at most {positions}"
        )
    if settings.objective == "causal" and _sees_the_future(model):
        raise InputError(
            f"training.model {name!r} is not causal: its prediction for a token changes when a later token does, as an "
            "encoder's does. Set training.objective to 'masked', or take a causal model"
        )
    return model, tokenizer


def _sees_the_future(model: PreTrainedModel) -> bool:
    import torch

    size = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(4) % size
    changed = ids.clone()
    changed[-1] = (ids[-1] + 1) % size
    training = model.training
    model.eval()
    with torch.inference_mode():
        logits = model(input_ids=torch.stack([ids, changed])).logits[:, 0]
    model.train(training)
    return not torch.allclose(logits[0], logits[1], rtol=1e-4, atol=1e-5)
