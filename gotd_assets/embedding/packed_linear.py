"""Linear layers in bfloat16 whose weights were laid out for the processor once, instead of at every call."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """What a `torch.nn.Linear` computes, from (…, in) to (…, out), for inference on a processor.

    oneDNN wants weights in blocks that fit the matrix units (AMX); `torch.nn.functional.linear` has them rearranged at
    every call, which for the small batches of an encoder takes a fifth of the time.
    """

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        """`rows` is how many rows inputs mostly have."""
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, rows: Tensor) -> Tensor:
        """(…, out) of `rows` (…, in)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, "none", [], "")
        return result


def pack_linear_layers(model: nn.Module, rows: int) -> None:
    """Replace the linear layers of `model`, in bfloat16 on a processor, if this build of PyTorch can pack them."""
    operations = torch.ops.mkldnn
    if not (hasattr(operations, "_reorder_linear_weight") and hasattr(operations, "_linear_pointwise")):
        return
    with torch.inference_mode():
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                # A subclass may do more than a product.
                if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16:
                    setattr(module, name, PackedLinear(child, rows))
