"""Linear layers in bfloat16 whose weights were laid out for the processor once, instead of at every call."""

from __future__ import annotations

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


def can_pack() -> bool:
    """Whether this build of PyTorch packs weights, and this processor has instructions for bfloat16 to use them with."""
    operations = torch.ops.mkldnn
    needed = ("_is_mkldnn_bf16_supported", "_reorder_linear_weight", "_linear_pointwise")
    return all(hasattr(operations, name) for name in needed) and bool(operations._is_mkldnn_bf16_supported())


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
