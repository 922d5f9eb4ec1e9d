"""A source whose rows are kept by workers of an engine, each of which has some parts of every pass."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.execution.holders import Holders, held_parts
from gotd_assets.transport.arrays import as_shard, shard_list
from gotd_assets.transport.couplings import Keeping
from gotd_assets.transport.holder import Holder, Plain, Share, tensor
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.passes import Asked, Found
from gotd_assets.transport.problem import DEFAULT, Problem
from gotd_assets.transport.source import Chance, Part, PreparedSource, block_rows
from gotd_assets.transport.source_potential import SourcePotential
from gotd_assets.transport.weights import Weights, normalised_weights
from gotd_assets.transport.workers import Partial, Workers

if TYPE_CHECKING:
    from gotd_assets.execution.engine import Engine
    from gotd_assets.transport.sketch import Sketch

_LEAST_ROWS = 20_000  # of a holder
_FEW_ROWS = 100_000
_PARTS_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, eq=False)
class HeldSource(PreparedSource):
    """A `PreparedSource` of which holders make the passes; everything else is as if it were here. Made by `held_source`.

    Attributes:
        holders: each with its parts, in their order.
        kernel: the one that the holders have.
        rows: of a block.
    """

    holders: Holders
    kernel: Kernel
    rows: int

    def passes(self, kernel: Kernel, keeping: Keeping) -> HeldPasses:
        """Passes against the targets that the holders know."""
        if kernel.cost != self.kernel.cost or not torch.equal(kernel.targets, self.kernel.targets):
            raise TransportError("the source is held for another target: make one with held_source for each")
        return HeldPasses(self, keeping)

    def weighted(self, weights: Weights) -> PreparedSource:
        """Holders have their weights from the start."""
        del weights
        raise TransportError("the weights of a held source are given to held_source")

    def take(self, indices: Tensor) -> Tensor:
        """See `PreparedSource`."""
        found = [rows for rows in self.holders.call("take", indices.numpy()) if rows is not None]
        return torch.from_numpy(np.concatenate(found)).to(self.device)

    def drawn(
        self, chance: Chance, f: SourcePotential, rows: int, seed: int, workers: Workers
    ) -> tuple[Tensor, Tensor]:
        """See `PreparedSource`; the workers are the holders' own, and get their potentials a few parts at a time."""
        del workers
        self._require(rows)
        shares: Sequence[Share] = self.holders.parts
        found: list[list[Any]] = [[] for _ in shares]
        for first in range(0, max(len(share.parts) for share in shares), _PARTS_AT_ONCE):
            arguments = []
            for share in shares:
                parts = share.parts[first : first + _PARTS_AT_ONCE]
                starts = [(share.first + part.start, part.end - part.begin) for part in parts]
                arguments.append((chance, first, [f.rows(start, start + n).numpy() for start, n in starts], seed))
            for number, more in enumerate(self.holders.call_each("drawn", arguments)):
                found[number] += more
        indices, chances = zip(*itertools.chain.from_iterable(found), strict=True)
        return torch.from_numpy(np.concatenate(indices)), torch.from_numpy(np.concatenate(chances))

    def mean(self, work: Callable[[Tensor], Tensor], rows: int, workers: Workers) -> float:
        """See `PreparedSource`; the workers are the holders' own."""
        del workers
        self._require(rows)
        total = 0.0
        for found in itertools.chain.from_iterable(self.holders.call("means", work)):
            total += found
        return total

    def _require(self, rows: int) -> None:
        if rows != self.rows:
            raise ValueError(f"a held source has blocks of {self.rows} rows, not of {rows}")


class HeldPasses:
    """Passes that holders make: see `Passes`. Those that only a subsample is asked for are made where it is."""

    def __init__(self, source: HeldSource, keeping: Keeping) -> None:
        self._source, self._keeping = source, keeping

    def evaluate(self, asked: Asked) -> Iterator[Partial]:
        """See `Passes`."""
        for found in self._source.holders.call("evaluate", self._keeping, Plain.of(asked)):
            for sums, total in found:
                yield tensor(sums), torch.tensor(total, dtype=torch.float64)

    def model(self, asked: Asked, depth: float, every: int) -> Iterator[Found]:
        """See `Passes`."""
        for found in self._source.holders.call("model", self._keeping, Plain.of(asked), depth, every):
            for sums, total, entries in found:
                yield tensor(sums), torch.tensor(total, dtype=torch.float64), entries

    def curvature(self, asked: Asked) -> Iterator[Partial]:
        """Of a subsample only."""
        raise NotImplementedError

    def moved(self, asked: Asked, step: Tensor) -> Tensor:
        """Of a subsample only."""
        raise NotImplementedError

    def potential(self, asked: Asked) -> SourcePotential:
        """See `Passes`. It stays with the holders until rows of it are asked for."""
        plain = Plain.of(asked)

        def get(begin: int, end: int) -> Tensor:
            found = self._source.holders.call("potential", self._keeping, plain, begin, end)
            return torch.from_numpy(np.concatenate(found))

        return SourcePotential.asked_for(get, self._source.lengths)


@contextlib.contextmanager
def held_source(
    engine: Engine,
    shards: Any,
    sketch: Sketch,
    problem: Problem = DEFAULT,
    *,
    weights: Weights | None = None,
) -> Iterator[PreparedSource]:
    """The source for a solve against `sketch`, kept by workers of `engine` for as long as the block takes.

    Its solves have the same bytes as without an engine. A source of few rows stays here.

    Args:
        engine: whose workers read the shards: what opens them must be valid there.
        shards: as in `solve`. A sequence that has `chosen(numbers)` hands each worker only those that it needs, and one
            that has `lengths` is not read to learn them.
        sketch: the target.
        problem: as in `solve`.
        weights: (N,) as in `solve`.

    Raises:
        TransportError: as `PreparedSource.of`.
    """
    given = shard_list(shards)
    lengths = [int(n) for n in getattr(given, "lengths", None) or [as_shard(shard).shape[0] for shard in given]]
    if sum(lengths) <= _FEW_ROWS or problem.solver == "geomloss":
        yield PreparedSource.of(given, sketch.centre, problem, weights=weights)
        return
    dtype = problem.torch_dtype
    centre = sketch.centre.to("cpu", dtype).double()
    mass = normalised_weights(weights, sum(lengths), "source")
    here = PreparedSource(given, lengths, mass, 0.0, centre, problem.torch_device, dtype)
    kernel = Kernel(problem.cost, (sketch.points.to(here.device, torch.float64) - centre.to(here.device)).to(dtype))
    rows = block_rows(here.n_rows, len(sketch.weights), dtype, here.device.type)
    shares = [_share(here, parts, kernel, rows, problem) for parts in _divided(here, rows, engine.workers)]
    with held_parts(engine, Holder, shares, name="transport") as holders:
        largest = max(holders.call("largest_norm"))
        yield HeldSource(
            given, lengths, mass, largest, centre, here.device, dtype, holders=holders, kernel=kernel, rows=rows
        )


def _divided(source: PreparedSource, rows: int, workers: int) -> list[list[Part]]:
    """The parts of the source for each of its holders, in order, about as many rows for each."""
    count = max(1, min(workers, source.n_rows // _LEAST_ROWS))
    found: list[list[Part]] = [[] for _ in range(count)]
    for part in source.parts(rows):
        found[min(count - 1, part.start * count // source.n_rows)].append(part)
    return [parts for parts in found if parts]


def _share(source: PreparedSource, parts: list[Part], kernel: Kernel, rows: int, problem: Problem) -> Share:
    numbers = sorted({part.shard for part in parts})
    spans = []
    for place, number in enumerate(numbers):
        own = [part for part in parts if part.shard == number]
        spans.append((place, own[0].begin, own[-1].end))
    here = [
        Part(
            numbers.index(part.shard),
            part.begin - spans[numbers.index(part.shard)][1],
            part.end - spans[numbers.index(part.shard)][1],
            part.start - parts[0].start,
        )
        for part in parts
    ]
    first, last = parts[0].start, parts[-1].start + parts[-1].end - parts[-1].begin
    uniform = source.weights.stride(0) == 0
    chosen = getattr(source.shards, "chosen", None)
    return Share(
        shards=[_travelling(source.shards[number]) for number in numbers] if chosen is None else chosen(numbers),
        numbers=numbers,
        spans=spans,
        parts=here,
        first=first,
        weights=float(source.weights[0]) if uniform else source.weights[first:last].numpy().copy(),
        rows=rows,
        centre=source.centre.numpy(),
        cost=kernel.cost,
        targets=kernel.targets.cpu().numpy(),
        # What kind of device it is decides how a solve goes about it, so it is the same everywhere.
        problem=dataclasses.replace(problem, device=source.device.type),
    )


def _travelling(shard: Any) -> Any:
    """A shard in memory as an array, which a pipe copies; NumPy has no bfloat16, whose numbers float32 has all."""
    found = as_shard(shard)
    if not isinstance(found, Tensor):
        return found
    found = found.detach().cpu()
    return (found.float() if found.dtype == torch.bfloat16 else found).numpy()
