"""Tensors with metadata in safetensors files."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from gotd_assets.errors import TransportError


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write `tensors` and `metadata` as safetensors."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, str(path), metadata)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of the safetensors file at `path`.

    Raises:
        TransportError: the file is missing or broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TransportError(f"{path} cannot be read as safetensors: {error}") from error
