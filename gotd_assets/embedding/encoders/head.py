"""What a folder of sentence-transformers does with a pooled vector: layers, normalising, cutting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gotd_assets.errors import InputError
from gotd_assets.models.encoder_folder import SETTING, EncoderFolder, Step
from gotd_assets.models.model_files import json_object, tensors_of

_DENSE = frozenset({"in_features", "out_features", "bias", "activation_function", "use_residual"})
_INPUTS = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}


class Head(torch.nn.Module):
    """Pooled vectors (n, D) to those of sentences (n, D'), in float32.

    Args:
        folder: what the encoder's folder says.
        dimension: D.
        is_normalised: vectors are put to length 1 afterwards, so that doing so at the end changes nothing.

    Raises:
        InputError: a layer is damaged, does not fit, or is of a kind that is not supported.
    """

    def __init__(self, folder: EncoderFolder, dimension: int, *, is_normalised: bool) -> None:
        super().__init__()
        steps = list(folder.after)
        while steps and is_normalised and folder.dimensions is None and steps[-1].kind == "Normalize":
            steps.pop()
        self._layers = torch.nn.ModuleList()
        for step in steps:
            layer, dimension = _layer(step, dimension)
            self._layers.append(layer)
        self._cut = folder.dimensions
        self.dimension = dimension if self._cut is None else min(dimension, self._cut)
        self.requires_grad_(requires_grad=False)

    @property
    def is_empty(self) -> bool:
        """Whether vectors stay what they are."""
        return not self._layers and self._cut is None

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, D') of (n, D)."""
        for layer in self._layers:
            vectors = layer(vectors)
        return vectors[:, : self._cut]


class _Normalize(torch.nn.Module):
    def forward(self, vectors: Tensor) -> Tensor:
        return torch.nn.functional.normalize(vectors, dim=-1)


class _Dense(torch.nn.Module):
    def __init__(self, inside: int, outside: int, *, bias: bool, activation: torch.nn.Module, residual: bool) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(inside, outside, bias=bias)
        self.activation_function = activation
        self.use_residual = residual
        if residual and inside != outside:
            self.residual = torch.nn.Linear(inside, outside, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        found: Tensor = self.activation_function(self.linear(vectors))
        if self.use_residual:
            found = found + (self.residual(vectors) if hasattr(self, "residual") else vectors)
        return found


class _LayerNorm(torch.nn.Module):
    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(dimension)

    def forward(self, vectors: Tensor) -> Tensor:
        found: Tensor = self.norm(vectors)
        return found


def _layer(step: Step, dimension: int) -> tuple[torch.nn.Module, int]:
    """The layer of a step that is given vectors of `dimension`, and the dimension of what it gives."""
    file = step.folder / "config.json"
    config = json_object(file, SETTING)
    for name, usual in _INPUTS.items():
        if config.pop(name, None) not in (usual, None):
            raise InputError(
                f"{SETTING}: {file} works on something else than the vectors of sentences: take another model"
            )
    if step.kind == "Normalize":
        return _Normalize(), dimension
    inside = config.get("dimension" if step.kind == "LayerNorm" else "in_features")
    if inside != dimension:
        raise InputError(
            f"{SETTING}: {file} takes vectors of {inside} numbers and is given {dimension}: copy the model again"
        )
    if step.kind == "LayerNorm":
        return _filled(_LayerNorm(dimension), step.folder), dimension
    unknown = sorted(set(config) - _DENSE)
    if unknown:
        raise InputError(f"{SETTING}: {file} sets {', '.join(unknown)}, which is not supported: take another model")
    outside = int(config["out_features"])
    layer = _Dense(
        dimension,
        outside,
        bias=bool(config.get("bias", True)),
        activation=_activation(str(config.get("activation_function", "torch.nn.Tanh")), file),
        residual=bool(config.get("use_residual", False)),
    )
    return _filled(layer, step.folder), outside


def _activation(name: str, file: Path) -> torch.nn.Module:
    """An activation of PyTorch by its dotted name; nothing else is imported."""
    kind: Any = getattr(torch.nn, name.rpartition(".")[2], None) if name.startswith("torch.nn.") else None
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise InputError(
            f"{SETTING}: {file} asks for the activation {name}, which is none of PyTorch's: take another model"
        )
    made: torch.nn.Module = kind()
    return made


def _filled(layer: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """The layer with its weights.

    Raises:
        InputError: they are missing, pickled, damaged or of another shape.
    """
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    if not file.is_file():
        raise InputError(
            f"{SETTING}: {folder} has no weights (model.safetensors); pickled ones (pytorch_model.bin) are not loaded: "
            "convert them by loading and saving the model with sentence-transformers"
        )
    shapes = {name: tuple(tensor["shape"]) for name, tensor in tensors_of(file, SETTING).items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
    if shapes != wanted:
        raise InputError(
            f"{SETTING}: {file} holds {json.dumps(shapes)} where {json.dumps(wanted)} belongs: copy the model again"
        )
    layer.load_state_dict(load_file(file))
    for name, weight in layer.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise InputError(
                f"{SETTING}: {file}: weights {name} are not all finite: the file is damaged, copy it again"
            )
    return layer.float()
