"""A model in its number format: products, weights."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from transformers import PreTrainedModel


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
