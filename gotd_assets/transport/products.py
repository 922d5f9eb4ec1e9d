"""How exactly matrix products are computed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import torch

Products: TypeAlias = Literal["float32", "reduced"]
_TURN = threading.Lock()


@contextlib.contextmanager
def product_precision(products: Products, device: torch.device) -> Iterator[None]:
    """Products of float32 matrices in the block are 'float32', or 'reduced': TF32 on CUDA, bfloat16 on a processor.

    Sums stay float32. oneDNN, which computes PyTorch's products on a processor, reduces them only for units that multiply
    matrices (AMX, Arm's BFMMLA) and computes in float32 all the same elsewhere, with AVX-512 too; what the products really
    lost is measured with every solve (`Certificate.product_error`). PyTorch keeps the setting for the whole process:
    products that other threads make meanwhile are as exact, so blocks take turns.
    """
    cuda = device.type == "cuda"
    backends: Any = torch.backends
    matmul = backends.cuda.matmul if cuda else backends.mkldnn.matmul
    with _TURN:
        before = matmul.fp32_precision
        matmul.fp32_precision = "ieee" if products == "float32" else ("tf32" if cuda else "bf16")
        try:
            yield
        finally:
            matmul.fp32_precision = before
