"""Which device tensors are on: one rule for models and transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device_named(name: str, *, needs_float64: bool = False) -> torch.device:
    """`name`, or for 'auto' the first CUDA device if there is one, else the CPU.

    Raises:
        ValueError: the device is not one of this machine, or lacks float64 though it is needed.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device, dtype=torch.float64 if needs_float64 else torch.float32)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"{name!r} cannot be used on this machine: {error}") from error
    return device
