"""Where a model computes and in which number format."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from transformers import PreTrainedModel


def choose_device(name: str, setting: str = "training.device") -> torch.device:
    """`name`, or for 'auto' the first CUDA device if there is one, else the CPU; `setting` names it in errors.

    Raises:
        InputError: the device is not one of this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"{setting} {name!r} cannot be used on this machine: {error}") from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The format products are computed in; 'auto' takes bfloat16 where the processor multiplies it, else float32."""
    import torch

    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    capable = torch.cpu.get_capabilities()
    fast = any(capable.get(feature, False) for feature in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if fast else torch.float32


def autocast(device: torch.device, precision: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Mixed precision, or nothing for float32."""
    import torch

    if precision is torch.float32:
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[None] = torch.autocast(device.type, dtype=precision)
    return context


def place(model: PreTrainedModel, device: torch.device, precision: torch.dtype, *, exact: Mapping[str, object]) -> None:
    """Move the model to `device`; weights not named in `exact` become bfloat16 if products are.

    Weights that are trained stay float32, also when measured: an update is smaller than a bfloat16 step, and rounding
    would undo most of it. float16 weights are never made, because their range is too small for some models.
    """
    import torch

    model.to(device=device)
    if precision is torch.bfloat16:
        for name, weight in model.named_parameters():
            if name not in exact:
                weight.data = weight.data.to(torch.bfloat16)
