"""Couplings of a source with a target, block by block, kept between passes if they fit the memory budget."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import queue
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.source import Part, PreparedSource

# PyTorch computes powers of 2 on processors in a quarter of the time of powers of e.
LOG2_E = math.log2(math.e)


@dataclasses.dataclass(frozen=True, eq=False)
class CoupledBlock:
    """Rows of the source with their couplings.

    Attributes:
        start: which row of the source is the first.
        rows: (n,) float64, the cost's part of the source alone.
        weights: (n,) float64.
        coupling: (n, M).
        out: (n, M), where the exponent is put; may be `coupling` itself.
    """

    start: int
    rows: Tensor
    weights: Tensor
    coupling: Tensor
    out: Tensor

    def exponent(self, bias: Tensor, epsilon: float) -> Tensor:
        """coupling/ε + bias (n, M), free to overwrite; `coupling` may be lost. Of base 2: both, and `bias` (M,), times log₂e."""
        return torch.add(bias, self.coupling, alpha=LOG2_E / epsilon, out=self.out)


@dataclasses.dataclass(frozen=True)
class Keeping:
    """Whether couplings are kept between passes: one decision for all rows, wherever they are.

    They are kept as they were computed: to round them to half the size and back takes as long as to compute them anew.
    """

    cached: bool

    @classmethod
    def of(cls, source: PreparedSource, kernel: Kernel, cache_bytes: int) -> Keeping:
        """If they fit `cache_bytes` in the working precision."""
        size = 8 if source.dtype == torch.float64 else 4
        return cls(source.n_rows * len(kernel.targets) * size <= cache_bytes)


class Couplings:
    """The couplings of `parts` of `source` under `kernel`, for passes by `workers` threads, kept if `keeping` says so."""

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
        self._kept: list[list[CoupledBlock]] = [[] for _ in self.parts]
        shape = source.n_rows, len(kernel.targets)
        self._cache = _room(shape, source.dtype, source.device) if keeping.cached else None
        # One tensor for all rows: small ones that stay would pin the memory freed between them.
        rows = source.n_rows if keeping.cached else 0
        self._rows = torch.empty(rows, dtype=torch.float64, device=source.device)
        self._buffers: queue.SimpleQueue[Tensor | None] = queue.SimpleQueue()
        for _ in range(workers):
            self._buffers.put(None)

    def blocks(self, part: int, *, keeps: bool, filled: bool) -> Iterator[CoupledBlock]:
        """The blocks of part number `part`, kept if it `keeps` them, and as kept if all were by an earlier pass (`filled`).

        Blocks overwrite each other: one is done with when the next is asked for.
        """
        cache = self._cache if keeps else None
        if cache is None:
            yield from self._computed(part)
            return
        with self._buffer() as buffer:
            if not filled or not self._kept[part]:
                # Whoever kept them may be gone, and this one does its work: from the same numbers as it.
                yield from self._keep(part, cache, buffer)
                return
            for block in self._kept[part]:
                yield dataclasses.replace(block, out=buffer[: len(block.rows)])

    def _computed(self, part: int, cache: Tensor | None = None) -> Iterator[CoupledBlock]:
        """The blocks of the part, whose couplings stand in `cache` if that is given."""
        for block in self._source.blocks(self._block_rows, self.parts[part]):
            place = slice(block.start, block.start + len(block.points))
            coupling = self._kernel.coupling(block.points, None if cache is None else cache[place])
            rows = self._kernel.source_part(block.points).double()
            yield CoupledBlock(block.start, rows, block.weights.to(self._source.device), coupling, out=coupling)

    def _keep(self, part: int, cache: Tensor, buffer: Tensor) -> Iterator[CoupledBlock]:
        """The blocks of the part, computed and kept."""
        self._kept[part] = []
        for block in self._computed(part, cache):
            rows = self._rows[block.start : block.start + len(block.rows)].copy_(block.rows)
            kept = dataclasses.replace(block, rows=rows)
            self._kept[part].append(kept)
            yield dataclasses.replace(kept, out=buffer[: len(rows)])

    @contextlib.contextmanager
    def _buffer(self) -> Iterator[Tensor]:
        """Room for a block's exponents where its couplings are kept, of which a thread has its own; made when first needed."""
        buffer = self._buffers.get()
        if buffer is None:
            shape = self._block_rows, len(self._kernel.targets)
            buffer = torch.empty(shape, device=self._source.device, dtype=self._source.dtype)
        try:
            yield buffer
        finally:
            self._buffers.put(buffer)


def _room(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor. In main memory NumPy makes it: it asks the system for huge pages, which PyTorch does not."""
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.empty(shape, dtype=torch.empty((), dtype=dtype).numpy().dtype))
