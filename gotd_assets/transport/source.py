"""The source measure: shards of vectors that are read again on every pass, with weights."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.arrays import as_shard, as_tensor, shard_list
from gotd_assets.transport.problem import DEFAULT, Problem
from gotd_assets.transport.source_potential import SourcePotential
from gotd_assets.transport.weights import Weights, checked_weights, draw_rows, normalised_weights
from gotd_assets.transport.workers import Workers

_CHECKED_ROWS = 2048  # few enough to stay in the processor's cache while they are checked
_CHECKED_ROWS_CUDA = 2**18  # of each the host waits for the device
_PARTS = 32
_MOST_PART_BLOCKS = 8
_MOST_PARTS = 2048  # of a source that is one shard: what a pass brings together is a sum of each
_BLOCK_BYTES = 8 * 2**20
_LEAST_BLOCK_ROWS, _LEAST_BLOCKS = 512, 8  # so that a small source is work for several threads, too
_CUDA_BLOCK_BYTES = 256 * 2**20
_OPEN_SHARDS = 4
_ROUNDING = 1e-6

Shards: TypeAlias = Any
"""An (N, D) tensor, array, frame or anything with `__array__` or DLPack; or a sequence of such that can be read again."""


Chance: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of centred points (n, D), their f (n,) and weights (n,) the chance (n,) float64, at most 1, with which each is drawn."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive rows of the source: `points` (n, D), their `weights` (n,) float64, and where they stand."""

    start: int
    points: Tensor
    weights: Tensor


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows [begin, end) of shard `shard`; the first is row `start` of the source."""

    shard: int
    begin: int
    end: int
    start: int


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedSource:
    """A source that was read once and found sound.

    Attributes:
        shards: arrays or tensors (n_k, D), re-readable, in any floating dtype.
        lengths: their n_k.
        weights: (N,) float64, summing to 1; of uniform ones memory holds one number.
        max_norm: largest Euclidean norm of a row after subtraction of `centre`.
        centre: (D,) float64 subtracted from every row; costs depend on differences only, and small numbers are more
            exact in float32.
        device: where blocks are put.
        dtype: torch.float32 or torch.float64, of the blocks.
    """

    shards: Sequence[Any]
    lengths: Sequence[int]
    weights: Tensor
    max_norm: float
    centre: Tensor
    device: torch.device
    dtype: torch.dtype
    _open: dict[int, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def of(
        cls,
        shards: Shards | PreparedSource,
        centre: Tensor,
        problem: Problem = DEFAULT,
        *,
        weights: Weights | None = None,
    ) -> PreparedSource:
        """Read a source once, check its shapes and numbers, and measure its norms, so that several solves need not.

        Args:
            shards: (N, D) tensor or array, or a sequence of such shards that can be read again. One that is prepared
                already is not read.
            centre: (D,) float64, where the targets are: the `centre` of a sketch.
            problem: says on which device and in which dtype passes over it are made.
            weights: (N,), of any sum; uniform by default, or those that a prepared source has.

        Raises:
            TransportError: the source is empty, shapes differ, a number is NaN or infinite (shard and row are named),
                weights are negative, of the wrong length, or sum to zero, or a prepared source is for another device
                or dtype.
        """
        if isinstance(shards, PreparedSource):
            shards._check_fits(len(centre), problem)
            if weights is None:
                return shards
            return shards.weighted(normalised_weights(weights, shards.n_rows, "source"))
        parts = shard_list(shards)
        device, dtype = problem.torch_device, problem.torch_dtype
        # Rounded once, so that what is subtracted of the source and of the target is the same.
        centre = centre.to("cpu", dtype).double()
        with Workers(device) as workers:
            found = [
                checked_shard(number, as_shard(shard), centre, problem, workers) for number, shard in enumerate(parts)
            ]
        if sum(length for length, _ in found) == 0:
            raise TransportError("the source has no points: nothing can be transported")
        mass = normalised_weights(weights, sum(length for length, _ in found), "source")
        return cls(parts, [length for length, _ in found], mass, max(norm for _, norm in found), centre, device, dtype)

    def weighted(self, weights: Weights) -> PreparedSource:
        """The same points, of which each has its share `weights` (N,) of the mass.

        Raises:
            TransportError: they are negative, not finite, of the wrong length, or do not sum to 1.
        """
        shares = checked_weights(weights, self.n_rows, "source")
        total = float(shares.sum())
        if abs(total - 1) > _ROUNDING:
            raise TransportError(f"the weights of a prepared source sum to {total:.6g}; divide them by their sum")
        return dataclasses.replace(self, weights=shares.clone())

    def _check_fits(self, dimension: int, problem: Problem) -> None:
        if len(self.centre) != dimension:
            raise TransportError(
                f"the source was prepared with points of dimension {len(self.centre)}, the target's have {dimension}: "
                "were both embedded by the same encoder?"
            )
        mine, asked = (self.device, self.dtype), (problem.torch_device, problem.torch_dtype)
        if mine != asked:
            raise TransportError(
                f"the source was prepared for {self.device} and {self.dtype}, the problem asks for {asked[0]} and "
                f"{asked[1]}: prepare it with PreparedSource.of(…, problem)"
            )

    @property
    def n_rows(self) -> int:
        """Number of source points N."""
        return len(self.weights)

    def parts(self, rows: int) -> list[Part]:
        """The source in order, as parts of a few blocks of at most `rows` rows, none across two shards.

        They depend on the source and on `rows` alone: partial sums that are added in their order are the same on any
        number of threads and machines.
        """
        found, start = [], 0
        blocks = min(_MOST_PART_BLOCKS, max(1, self.n_rows // (rows * _PARTS)))
        size = rows * max(blocks, -(-self.n_rows // (rows * _MOST_PARTS)))
        for number, length in enumerate(self.lengths):
            for begin in range(0, length, size):
                found.append(Part(number, begin, min(begin + size, length), start + begin))
            start += length
        return found

    def blocks(self, rows: int, part: Part | None = None) -> Iterator[Block]:
        """At most `rows` rows of `part` at a time, of the whole source by default."""
        if part is None:
            for each in self.parts(rows):
                yield from self.blocks(rows, each)
            return
        shard = self._shard(part.shard)
        for begin in range(part.begin, part.end, rows):
            end = min(begin + rows, part.end)
            start = part.start + begin - part.begin
            points = centred(shard[begin:end], self.centre, self.device, self.dtype)
            yield Block(start, points, self.weights[start : start + end - begin])

    def drawn(
        self, chance: Chance, f: SourcePotential, rows: int, seed: int, workers: Workers
    ) -> tuple[Tensor, Tensor]:
        """Indices (n,), ascending, of rows drawn with `chance` each, and their chances (n,) float64.

        At most `rows` rows are looked at at a time. Each part is drawn from by itself, so that no number is kept of rows that
        were not drawn.
        """
        parts = self.parts(rows)

        def work(number: int) -> tuple[Tensor, Tensor]:
            part = parts[number]
            return part_drawn(
                self, chance, f.rows(part.start, part.start + part.end - part.begin), rows, part, seed=seed
            )

        indices, chances = zip(*workers.map(work, range(len(parts))), strict=True)
        return torch.cat(indices), torch.cat(chances)

    def mean(self, work: Callable[[Tensor], Tensor], rows: int, workers: Workers) -> float:
        """Σ_i a_i `work(points)`_i over all rows, at most `rows` of them at a time, added part by part; points are centred."""
        parts = self.parts(rows)
        (total,) = workers.sum(lambda part: (part_mean(self, work, rows, parts[part]),), len(parts))
        return float(total)

    def _shard(self, number: int) -> Any:
        """The shard, of which the few that were read last stay open: reading one may mean to copy it."""
        with self._lock:
            shard = self._open.pop(number, None)
            self._open[number] = shard = as_shard(self.shards[number]) if shard is None else shard
            while len(self._open) > _OPEN_SHARDS:
                del self._open[next(iter(self._open))]
            return shard

    @property
    def is_uniform(self) -> bool:
        """Whether every row weighs the same."""
        return self.weights.stride(0) == 0 or bool((self.weights == self.weights[0]).all())

    def draw(self, size: int, seed: int) -> Tensor:
        """Indices (about `size`,), ascending, of rows drawn by weight: how many of a shard by its mass, which by its own seed.

        Of uniform rows none is drawn twice; of others as `draw_rows` does.
        """
        bounds = np.cumsum([0, *self.lengths])
        places = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        uniform = self.is_uniform
        masses = [float(end - begin if uniform else self.weights[begin:end].sum()) for begin, end in places]
        shares = draw_rows(torch.tensor(masses, dtype=torch.float64), size, torch.Generator().manual_seed(seed))
        rows = []
        for number, count in enumerate(torch.bincount(shares, minlength=len(places)).tolist()):
            begin, end = places[number]
            generator = torch.Generator().manual_seed((seed + 1) * 1_000_003 + number)
            if not count:
                continue
            if uniform:
                own = torch.randperm(end - begin, generator=generator)[:count].sort().values
            else:
                own = draw_rows(self.weights[begin:end], count, generator)
            rows.append(begin + own)
        return torch.cat(rows)

    def sampled(self, size: int, seed: int) -> tuple[Tensor, PreparedSource]:
        """What `draw` draws, and those rows as a source in memory."""
        indices = self.draw(size, seed)
        return indices, self.part(indices)

    def part(self, indices: Tensor, weights: Tensor | None = None) -> PreparedSource:
        """Rows at ascending `indices` (n,) as a source in memory, with `weights` (n,) float64, uniform by default."""
        uniform = torch.full((len(indices),), 1 / len(indices), dtype=torch.float64)
        return PreparedSource(
            [self.take(indices)],
            [len(indices)],
            uniform if weights is None else weights,
            self.max_norm,
            torch.zeros_like(self.centre),
            self.device,
            self.dtype,
        )

    def take(self, indices: Tensor) -> Tensor:
        """Rows at ascending `indices` (n,), as one (n, D) tensor."""
        wanted = indices.numpy()
        parts, start = [], 0
        for number, length in enumerate(self.lengths):
            local = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + length)] - start
            if len(local):
                shard = self._shard(number)
                rows = shard[torch.from_numpy(local)] if isinstance(shard, Tensor) else np.asarray(shard[local])
                parts.append(centred(rows, self.centre, self.device, self.dtype))
            start += length
        return torch.cat(parts)


def part_drawn(
    source: PreparedSource, chance: Chance, f: Tensor, rows: int, part: Part, *, seed: int, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Rows of one part, of which `f` (n,) is the potential, drawn with `chance` each: what they are of the source, and chances.

    The first row of `source` is row `first` of the whole. Systematic: of the sum of chances the whole part is drawn, of its
    fraction by a draw of the part's own.
    """
    found = [
        chance(block.points, f[block.start - part.start :][: len(block.points)], block.weights).cpu()
        for block in source.blocks(rows, part)
    ]
    chances = torch.cat(found)
    start = first + part.start
    uniform = torch.rand(
        (), generator=torch.Generator().manual_seed((seed + 1) * 1_000_003 + start), dtype=torch.float64
    )
    reached = (chances.cumsum(0) + uniform).floor()
    indices = (torch.diff(reached, prepend=torch.zeros(1, dtype=torch.float64)) > 0).nonzero()[:, 0]
    return start + indices, chances[indices]


def part_mean(source: PreparedSource, work: Callable[[Tensor], Tensor], rows: int, part: Part) -> Tensor:
    """Σ_i a_i `work(points)`_i over the rows of one part, float64 on the CPU."""
    total = torch.zeros((), dtype=torch.float64)
    for block in source.blocks(rows, part):
        total += block.weights @ work(block.points).double().cpu()
    return total


def block_rows(rows: int, targets: int, dtype: torch.dtype, device_type: str) -> int:
    """Rows of a block: a matter of the problem alone, so that memory free by chance does not show in the last digits."""
    size = 8 if dtype == torch.float64 else 4
    budget = _CUDA_BLOCK_BYTES if device_type == "cuda" else _BLOCK_BYTES
    enough = rows if device_type == "cuda" else max(_LEAST_BLOCK_ROWS, -(-rows // _LEAST_BLOCKS))
    return max(64, min(budget // (targets * size), enough))


def checked_shard(
    number: int, shard: Any, centre: Tensor, problem: Problem, workers: Workers, *, first_row: int = 0
) -> tuple[int, float]:
    """Rows of source shard `number` (from `first_row` on), and the largest norm of one, less `centre` (D,).

    Raises:
        TransportError: it has another dimension, or a number is NaN or infinite.
    """
    device, dtype = problem.torch_device, problem.torch_dtype
    shape = tuple(shard.shape)
    if len(shape) != 2 or shape[1] != len(centre):
        raise TransportError(
            f"source shard {number} has shape {shape}, expected (n, {len(centre)}) like the target's points: "
            "were both embedded by the same encoder?"
        )
    size = _CHECKED_ROWS if device.type == "cpu" else _CHECKED_ROWS_CUDA

    def largest(begin: int) -> float:
        end = min(begin + 8 * size, shape[0]) if device.type == "cpu" else min(begin + size, shape[0])
        worst = 0.0
        for first in range(begin, end, size):
            squared = centred(shard[first : min(first + size, end)], centre, device, dtype).square_().sum(1)
            found = float(squared.max())
            if not math.isfinite(found):
                row = first_row + first + int((~torch.isfinite(squared)).nonzero()[0, 0])
                raise TransportError(
                    f"source shard {number}, row {row} holds NaN or an infinity (or overflows): remove or repair that "
                    "vector before solving"
                )
            worst = max(worst, found)
        return worst

    step = 8 * size if device.type == "cpu" else size
    return shape[0], math.sqrt(max(workers.map(largest, range(0, shape[0], step)), default=0.0))


def centred(rows: Any, centre: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`rows` (n, D) less `centre` (D,) float64, as a tensor of its own; what comes in float64 is subtracted in it."""
    working = torch.float64 if rows.dtype in (torch.float64, np.dtype("float64")) else dtype
    return (as_tensor(rows, device, working) - centre.to(device, working)).to(dtype)
