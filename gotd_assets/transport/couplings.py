"""Couplings of a source with a target, block by block, kept between passes if they fit the memory budget."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.source import Part, PreparedSource

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


@dataclasses.dataclass(frozen=True)
class Keeping:
    """How couplings are kept between passes: one decision for all rows, wherever they are.

    Attributes:
        dtype: in which they are kept; None if they are not.
        step: what they are multiples of, where they are rounded; else 1.
    """

    dtype: torch.dtype | None
    step: float

    @classmethod
    def of(cls, source: PreparedSource, kernel: Kernel, epsilon: float, cache_bytes: int) -> Keeping:
        """In the working precision if that fits `cache_bytes`, else as 16-bit multiples of a step if that fits and is fine enough."""
        elements = source.n_rows * len(kernel.targets)
        if elements * (8 if source.dtype == torch.float64 else 4) <= cache_bytes:
            return cls(source.dtype, 1.0)
        lowest, highest = kernel.bound(source.max_norm)
        step = max(abs(lowest), abs(highest)) / 32_000
        fine_enough = 0 < step <= epsilon * _LARGEST_STEP_PER_EPSILON and source.dtype == torch.float32
        return cls(torch.int16, step) if fine_enough and elements * 2 <= cache_bytes else cls(None, 1.0)

    @property
    def cached(self) -> bool:
        """Whether couplings are kept between passes."""
        return self.dtype is not None

    @property
    def rounded(self) -> bool:
        """Whether they are kept with fewer digits than they are computed with."""
        return self.cached and self.step != 1.0


class Couplings:
    """The couplings of `parts` of `source` under `kernel`, for passes by `workers` threads, kept as `keeping` says."""

    def __init__(
        self,
        source: PreparedSource,
        kernel: Kernel,
        parts: Sequence[Part],
        *,
        block_rows: int,
        workers: int,
        keeping: Keeping,
    ) -> None:
        self.parts = parts
        self._source = source
        self._kernel = kernel
        self._block_rows = min(block_rows, max(source.lengths))
        self._keeping = keeping
        self._kept: list[list[CoupledBlock]] = [[] for _ in self.parts]
        shape = source.n_rows, len(kernel.targets)
        self._cache = None if keeping.dtype is None else _room(shape, keeping.dtype, source.device)
        # One tensor for all rows: small ones that stay would pin the memory freed between them.
        rows = source.n_rows if keeping.cached else 0
        self._rows = torch.empty(rows, dtype=torch.float64, device=source.device)
        self._buffers: queue.SimpleQueue[list[Tensor]] = queue.SimpleQueue()
        for _ in range(workers):
            self._buffers.put([])

    def blocks(self, part: int, *, keeps: bool, filled: bool) -> Iterator[CoupledBlock]:
        """The blocks of part number `part`, kept if it `keeps` them, and as kept if all were by an earlier pass (`filled`).

        The pass that fills the cache has them as they were computed. Blocks overwrite each other: one is done with when
        the next is asked for.
        """
        cache = self._cache if keeps else None
        with self._buffer() as buffers:
            if cache is None or not filled:
                yield from self._computed(part, cache, buffers)
                return
            if not self._kept[part]:
                # Whoever kept them is gone, and this one does its work: from the same numbers as it.
                for _ in self._computed(part, cache, buffers):
                    pass
            yield from (self._restored(block, buffers) for block in self._kept[part])

    def _computed(self, part: int, cache: Tensor | None, buffers: list[Tensor]) -> Iterator[CoupledBlock]:
        self._kept[part] = [] if cache is not None else self._kept[part]
        for block in self._source.blocks(self._block_rows, self.parts[part]):
            length = len(block.points)
            place = slice(block.start, block.start + length)
            out = buffers[0][:length]
            room = out if cache is None or self._keeping.rounded else cache[place]
            coupled = CoupledBlock(
                start=block.start,
                rows=self._kernel.source_part(block.points).double(),
                weights=block.weights.to(self._source.device),
                coupling=self._kernel.coupling(block.points, room),
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
        if self._keeping.rounded:
            if len(buffers) < 2:
                buffers.append(torch.empty_like(buffers[0]))
            multiples = buffers[1][: len(block.rows)]
            couplings.copy_(torch.mul(block.coupling, 1 / self._keeping.step, out=multiples).round_())
        self._kept[part].append(
            dataclasses.replace(block, coupling=couplings, step=self._keeping.step, out=couplings[:0])
        )
        return block

    def _restored(self, block: CoupledBlock, buffers: list[Tensor]) -> CoupledBlock:
        out = buffers[0][: len(block.rows)]
        return dataclasses.replace(
            block, coupling=out.copy_(block.coupling) if self._keeping.rounded else block.coupling, out=out
        )


def _room(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor. In main memory NumPy makes it: it asks the system for huge pages, which PyTorch does not."""
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    element = torch.empty((), dtype=dtype).numpy().dtype
    return torch.from_numpy(np.empty(shape, dtype=element))
