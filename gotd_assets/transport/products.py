"""How exactly matrix products are computed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

Products: TypeAlias = Literal["float32", "reduced"]


class Factor:
    """The matrix (M, D) of many products x·yᵀ, laid out once for the library that multiplies.

    On processors products of float32 are oneDNN's: with AVX-512 on other processors than Intel's they take half the time of
    those of MKL, which `torch.mm` calls, and elsewhere as long.
    """

    def __init__(self, matrix: Tensor) -> None:
        self._matrix = matrix
        onednn: Any = torch.backends.mkldnn
        is_its = matrix.device.type == "cpu" and matrix.dtype == torch.float32 and onednn.is_available()
        self._laid_out = matrix.to_mkldnn() if is_its else None

    def times(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """`rows` (n, D) times the matrix's transpose, (n, M), in `out` if that is given."""
        # Where products may be reduced, `torch.mm` is oneDNN's, too.
        if self._laid_out is None or len(rows) == 0 or _matmul(cuda=False).fp32_precision in ("bf16", "tf32"):
            return torch.mm(rows, self._matrix.T, out=out)
        product = torch.nn.functional.linear(rows.to_mkldnn(), self._laid_out).to_dense()
        return product if out is None else out.copy_(product)


def gram(matrix: Tensor) -> Tensor:
    """The transpose of `matrix` (n, M) times it, (M, M)."""
    transposed = matrix.T.contiguous()
    return Factor(transposed).times(transposed)


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
