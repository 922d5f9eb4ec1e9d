"""Linear layers in bfloat16 whose weights were laid out for the processor once, instead of at every call."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """What a `torch.nn.Linear` computes, from (…, in) to (…, out), for inference on a processor.

    oneDNN wants weights in blocks that fit the matrix units (AMX); `torch.nn.functional.linear` has them rearranged at
    every call, which takes long beside the small products of an encoder's batches.
    """

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        """`rows` is how many rows inputs mostly have."""
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
        self.bias = None if linear.bias is None else linear.bias.detach()

    @property
    def weight(self) -> Tensor:
        """(out, in), unpacked anew: some models read a layer's weights themselves."""
        unpacked: Tensor = self._packed.to_dense()
        return unpacked

    def forward(self, rows: Tensor) -> Tensor:
        """(…, out) of `rows` (…, in)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self.bias, "none", [], "")
        return result


@functools.cache
def can_pack() -> bool:
    """Whether this build of PyTorch packs weights, and oneDNN multiplies with them on this processor."""
    # What its weights are does not matter, so none are drawn and the state of the generator stays.
    linear = nn.Linear(64, 64, bias=False, device="meta", dtype=torch.bfloat16).to_empty(device="cpu")
    try:
        with torch.inference_mode():
            PackedLinear(linear, 64)(torch.zeros(64, 64, dtype=torch.bfloat16))
    except (AttributeError, RuntimeError):
        return False
    return True


def pack_linear_layers(model: nn.Module, rows: int) -> None:
    """Replace the linear layers of `model`, on a processor, that are in bfloat16, where they can be packed."""
    if not can_pack():
        return
    with torch.inference_mode():
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                # A subclass may do more than a product.
                if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16:
                    setattr(module, name, PackedLinear(child, rows))
