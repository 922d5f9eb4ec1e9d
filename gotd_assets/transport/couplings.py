"""Couplings of a source with a target, block by block, kept between passes if they fit the memory budget."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.products import Products, product_precision
from gotd_assets.transport.source import PreparedSource

# A cached coupling is off by at most half a step: more than ε/50 would show in the marginals.
_LARGEST_STEP_PER_EPSILON = 1 / 25


@dataclasses.dataclass(frozen=True, eq=False)
class CoupledBlock:
    """Rows of the source with their couplings.

    Attributes:
        start: which row of the source is the first.
        rows: (n,) float64, the cost's part of the source alone.
        weights: (n,) float64.
        coupling: (n, M), in units of `step`.
        step: see `coupling`.
        out: (n, M), where the exponent is put; may be `coupling` itself.
    """

    start: int
    rows: Tensor
    weights: Tensor
    coupling: Tensor
    step: float
    out: Tensor

    def exponent(self, bias: Tensor, epsilon: float) -> Tensor:
        """coupling/ε + bias (n, M), free to overwrite; `coupling` may be lost."""
        return torch.add(bias, self.coupling, alpha=self.step / epsilon, out=self.out)


class Couplings:
    """The couplings of `source` under `kernel`, part by part, for passes by `workers` threads.

    They are kept in the working precision if that fits `cache_bytes`, else as 16-bit multiples of a step if that is fine
    enough for `epsilon` and fits, else computed anew on every pass. With 'reduced' `products` they are less exact unless
    a pass asks for exact ones.
    """

    def __init__(
        self,
        source: PreparedSource,
        kernel: Kernel,
        epsilon: float,
        *,
        block_rows: int,
        workers: int,
        cache_bytes: int,
        products: Products,
    ) -> None:
        self.products = products
        self.parts = source.parts(block_rows)
        self._source = source
        self._kernel = kernel
        self._block_rows = min(block_rows, max(source.lengths))
        targets = len(kernel.targets)
        self._kept: list[list[CoupledBlock]] = [[] for _ in self.parts]
        self._filled = False
        self._step, dtype = _plan(source, kernel, epsilon, cache_bytes)
        self._cache = None if dtype is None else _room((source.n_rows, targets), dtype, source.device)
        # One tensor for all rows: small ones that stay would pin the memory freed between them.
        self._rows = torch.empty(source.n_rows if self.cached else 0, dtype=torch.float64, device=source.device)
        self._buffers: queue.SimpleQueue[list[Tensor]] = queue.SimpleQueue()
        for _ in range(workers):
            self._buffers.put([])

    @property
    def cached(self) -> bool:
        """Whether couplings are kept between passes."""
        return self._cache is not None

    @property
    def rounded(self) -> bool:
        """Whether they are kept with fewer digits than they are computed with."""
        return self.cached and self._step != 1.0

    @property
    def exact(self) -> bool:
        """Whether the next pass has exact couplings: always, but for reduced products and passes over a rounded cache."""
        return self.products == "float32" and not (self.rounded and self._filled)

    def precision(self, *, exact: bool) -> AbstractContextManager[None]:
        """In which a pass is to be made."""
        return product_precision("float32" if exact else self.products, self._source.device)

    def passed(self) -> None:
        """To be called after a pass over all parts."""
        self._filled = self._filled or all(self._kept)

    def blocks(self, part: int, *, exact: bool = False) -> Iterator[CoupledBlock]:
        """The blocks of part number `part`; `exact` computes couplings anew if those kept are not.

        The pass that fills the cache has them exact too. Blocks overwrite each other: one is done with when the next is
        asked for.
        """
        cache = None if exact and not self.exact else self._cache
        with self._buffer() as buffers:
            if cache is not None and self._filled:
                yield from (self._restored(block, buffers) for block in self._kept[part])
                return
            self._kept[part] = [] if cache is not None else self._kept[part]
            for block in self._source.blocks(self._block_rows, self.parts[part]):
                length = len(block.points)
                place = slice(block.start, block.start + length)
                out = buffers[0][:length]
                coupled = CoupledBlock(
                    start=block.start,
                    rows=self._kernel.source_part(block.points).double(),
                    weights=block.weights.to(self._source.device),
                    coupling=self._kernel.coupling(
                        block.points, out if cache is None or self.rounded else cache[place]
                    ),
                    step=1.0,
                    out=out,
                )
                if cache is not None:
                    coupled = self._keep(part, coupled, cache[place], self._rows[place], buffers)
                yield coupled

    @contextlib.contextmanager
    def _buffer(self) -> Iterator[list[Tensor]]:
        """Room for a block's exponents, of which a thread has its own; made when first needed."""
        buffers = self._buffers.get()
        try:
            if not buffers:
                shape = self._block_rows, len(self._kernel.targets)
                buffers.append(torch.empty(shape, device=self._source.device, dtype=self._source.dtype))
            yield buffers
        finally:
            self._buffers.put(buffers)

    def _keep(
        self, part: int, block: CoupledBlock, couplings: Tensor, rows: Tensor, buffers: list[Tensor]
    ) -> CoupledBlock:
        """Keep `block` in `couplings`, rounded if need be, and `rows`; return it as it is."""
        block = dataclasses.replace(block, rows=rows.copy_(block.rows))
        if self.rounded:
            if len(buffers) < 2:
                buffers.append(torch.empty_like(buffers[0]))
            multiples = buffers[1][: len(block.rows)]
            couplings.copy_(torch.mul(block.coupling, 1 / self._step, out=multiples).round_())
        self._kept[part].append(dataclasses.replace(block, coupling=couplings, step=self._step, out=couplings[:0]))
        return block

    def _restored(self, block: CoupledBlock, buffers: list[Tensor]) -> CoupledBlock:
        out = buffers[0][: len(block.rows)]
        return dataclasses.replace(
            block, coupling=out.copy_(block.coupling) if self.rounded else block.coupling, out=out
        )


def _room(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor. In main memory NumPy makes it: it asks the system for huge pages, which PyTorch does not."""
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    element = torch.empty((), dtype=dtype).numpy().dtype
    return torch.from_numpy(np.empty(shape, dtype=element))


def _plan(source: PreparedSource, kernel: Kernel, epsilon: float, cache_bytes: int) -> tuple[float, torch.dtype | None]:
    """The step and the type in which couplings are kept; None if they are not."""
    elements = source.n_rows * len(kernel.targets)
    if elements * (8 if source.dtype == torch.float64 else 4) <= cache_bytes:
        return 1.0, source.dtype
    lowest, highest = kernel.bound(source.max_norm)
    step = max(abs(lowest), abs(highest)) / 32_000
    fine_enough = 0 < step <= epsilon * _LARGEST_STEP_PER_EPSILON and source.dtype == torch.float32
    return (step, torch.int16) if fine_enough and elements * 2 <= cache_bytes else (1.0, None)
