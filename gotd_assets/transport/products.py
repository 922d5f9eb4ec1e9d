"""How exactly matrix products are computed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

Products: TypeAlias = Literal["float32", "reduced"]


# What torch.compile calls on processors for a linear layer: oneDNN's product of float32, which `torch.mm` calls for other
# types only. On an AMD EPYC it takes half the time of MKL's with AVX-512, and as long held to AVX2.
_ONEDNN: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(rows: Tensor, matrix: Tensor, out: Tensor | None = None) -> Tensor:
    """`rows` (n, D) times the transpose of `matrix` (M, D): (n, M), in `out` if that is given."""
    is_its = rows.device.type == "cpu" and rows.dtype == torch.float32 and rows.numel() > 0
    # Where products may be reduced, `torch.mm` is oneDNN's, too.
    if _ONEDNN is None or not is_its or _matmul(cuda=False).fp32_precision in ("bf16", "tf32"):
        return torch.mm(rows, matrix.T, out=out)
    found: Tensor = _ONEDNN(rows, matrix, None, "none", [], "")
    return found if out is None else out.copy_(found)


def gram(matrix: Tensor) -> Tensor:
    """The transpose of `matrix` (n, M) times it, (M, M)."""
    transposed = matrix.T.contiguous()
    return product(transposed, transposed)


class _Turns:
    """Blocks that ask for the same products run beside each other; others wait until the last of these ends."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._inside: tuple[Products, bool] | None = None
        self._count = 0
        self._before = ""

    def begin(self, products: Products, *, cuda: bool) -> None:
        asked = products, cuda
        with self._free:
            self._free.wait_for(lambda: self._count == 0 or self._inside == asked)
            if self._count == 0:
                matmul = _matmul(cuda=cuda)
                self._inside, self._before = asked, matmul.fp32_precision
                matmul.fp32_precision = "ieee" if products == "float32" else ("tf32" if cuda else "bf16")
            self._count += 1

    def end(self, *, cuda: bool) -> None:
        with self._free:
            self._count -= 1
            if self._count == 0:
                _matmul(cuda=cuda).fp32_precision = self._before
                self._free.notify_all()


_TURNS = _Turns()


def _matmul(*, cuda: bool) -> Any:
    backends: Any = torch.backends
    return backends.cuda.matmul if cuda else backends.mkldnn.matmul


@contextlib.contextmanager
def product_precision(products: Products, device: torch.device) -> Iterator[None]:
    """Products of float32 matrices in the block are 'float32', or 'reduced': TF32 on CUDA, bfloat16 on a processor.

    Sums stay float32. oneDNN, which computes PyTorch's products on a processor, reduces them only for units that multiply
    matrices (AMX, Arm's BFMMLA) and computes in float32 all the same elsewhere, with AVX-512 too; what the products really
    lost is measured with every solve (`Certificate.product_error`). PyTorch keeps the setting for the whole process:
    blocks of several threads run beside each other only while they ask for the same.
    """
    cuda = device.type == "cuda"
    _TURNS.begin(products, cuda=cuda)
    try:
        yield
    finally:
        _TURNS.end(cuda=cuda)
