"""Where a model computes and in which number format: one rule for training, encoders and classifiers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from gotd_assets.errors import InputError
from gotd_assets.execution.device import device_named

if TYPE_CHECKING:
    import torch


def choose_device(name: str, setting: str = "training.device") -> torch.device:
    """`name`, or for 'auto' the first CUDA device if there is one, else the CPU; `setting` names it in errors.

    Raises:
        InputError: the device is not one of this machine.
    """
    try:
        return device_named(name)
    except ValueError as error:
        raise InputError(f"{setting} {error}") from error


def choose_precision(name: str, device: torch.device, setting: str = "training.precision") -> torch.dtype:
    """The format products are computed in; 'auto' is bfloat16 where `device` has instructions for it, else float32.

    float16 has to be asked for: its range is too small for some models. `setting` names the choice in errors.

    Raises:
        InputError: bfloat16 is asked for and PyTorch cannot multiply matrices of it here.
    """
    import torch

    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if name == "bfloat16" and device.type == "cpu" and _tiny_product() is None:
        raise InputError(
            f"{setting} 'bfloat16': PyTorch cannot multiply bfloat16 matrices on this processor, or was told not to "
            "(ONEDNN_MAX_CPU_ISA): set it to 'auto' or 'float32'"
        )
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def has_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 matrices are computed by instructions for them, and so faster than float32's.

    A process that takes all tiny numbers for zero (`torch.set_flush_denormal`) hides it on a processor: then it is False.
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _tiny_product() == 0 and _tiny_product(exact=True) != 0


@functools.cache
def _tiny_product(*, exact: bool = False) -> float | None:
    """An element of a product of bfloat16 matrices on the processor, in truth 2⁻¹⁰⁴; None if there is no such product.

    Instructions for bfloat16 (AVX512_BF16, AMX; Arm's BFMMLA and BFDOT) take factors below 2⁻¹²⁶ for zero, whatever the
    process has set: Intel's and Arm's manuals say so. Elsewhere products are emulated by float32, which keeps such factors
    and takes longer than float32 itself; with `exact` that is asked for. The processor's flags would not do: they say what
    it has, not whether the library of products uses it.
    """
    import torch

    dtype = torch.float32 if exact else torch.bfloat16
    # More elements than 16 · 16 · 16, or PyTorch takes another way than for the products of models.
    tiny, large = (torch.full((64, 64), factor, dtype=dtype) for factor in (2.0**-130, 2.0**20))
    try:
        return float((tiny @ large)[0, 0])
    except RuntimeError:
        return None
