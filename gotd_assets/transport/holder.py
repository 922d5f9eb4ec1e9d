"""What a worker of an engine keeps of a source: rows, their couplings, and the potential of the last pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gotd_assets.transport.arrays import as_shard
from gotd_assets.transport.couplings import Keeping
from gotd_assets.transport.kernel import CostName, Kernel
from gotd_assets.transport.passes import Asked, LocalPasses
from gotd_assets.transport.problem import Problem
from gotd_assets.transport.source import Chance, Part, PreparedSource, checked_shard, part_drawn, part_mean
from gotd_assets.transport.source_potential import SourcePotential
from gotd_assets.transport.workers import Workers

_Floats = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """What one holder is made of: plain numbers and what opens its shards, so that it can be made again anywhere.

    Attributes:
        shards: those that it has rows of.
        numbers: which of the source's they are.
        spans: (place in `shards`, first row, row after the last) of each run of rows.
        parts: of the passes; shards are places in `spans`, rows are counted from the first here.
        first: row of the source that is the first here.
        weights: (n,) float64 of the rows here, or what each weighs.
        rows: of a block.
        centre: (D,) float64.
        cost: against the targets.
        targets: (M, D), centred.
        problem: says device and dtype.
    """

    shards: Sequence[Any]
    numbers: list[int]
    spans: list[tuple[int, int, int]]
    parts: list[Part]
    first: int
    weights: _Floats | float
    rows: int
    centre: _Floats
    cost: CostName
    targets: _Floats
    problem: Problem

    @property
    def n_rows(self) -> int:
        """Rows here."""
        return sum(end - begin for _, begin, end in self.spans)


class Holder:
    """Keeps rows of the source, and their couplings, between passes; where it runs is all that is not in its `Share`."""

    def __init__(self, share: Share) -> None:
        self._share = share
        device, dtype = share.problem.torch_device, share.problem.torch_dtype
        given = share.weights
        weights = (
            torch.tensor([given], dtype=torch.float64).expand(share.n_rows)
            if isinstance(given, float)
            else tensor(given)
        )
        self._source = PreparedSource(
            _Spans(share.shards, share.spans),
            [end - begin for _, begin, end in share.spans],
            weights,
            0.0,
            tensor(share.centre),
            device,
            dtype,
        )
        self._kernel = Kernel(share.cost, tensor(share.targets).to(device, dtype))
        self._workers = Workers(device)
        self._keeping: Keeping | None = None
        self._passes: LocalPasses | None = None
        self._last: tuple[Plain, SourcePotential] | None = None

    def largest_norm(self) -> float:
        """Of a row here, once all are found to be sound."""
        share, worst = self._share, 0.0
        for place, (shard, begin, _) in enumerate(share.spans):
            points = self._source.shards[place]
            _, norm = checked_shard(
                share.numbers[shard], points, self._source.centre, share.problem, self._workers, first_row=begin
            )
            worst = max(worst, norm)
        return worst

    def take(self, rows: npt.NDArray[np.int64]) -> _Floats | None:
        """Those of `rows` of the source, ascending, that are here, centred; None if none is."""
        first = self._share.first
        begin, end = np.searchsorted(rows, (first, first + self._share.n_rows))
        if begin == end:
            return None
        return self._source.take(torch.from_numpy(rows[begin:end] - first)).cpu().numpy()

    def evaluate(self, keeping: Keeping, plain: Plain) -> list[tuple[_Floats, float]]:
        """Of every part here, in order, what `Passes.evaluate` yields."""
        passes, asked = self._asked(keeping, plain)
        found = [(sums.cpu().numpy(), float(total)) for sums, total in passes.evaluate(asked)]
        self._last = plain, passes.potential(asked)
        return found

    def model(self, keeping: Keeping, plain: Plain, depth: float, every: int) -> list[tuple[_Floats, float, list[Any]]]:
        """Of every part here, in order, what `Passes.model` yields."""
        passes, asked = self._asked(keeping, plain)
        found = [(sums.cpu().numpy(), float(total), own) for sums, total, own in passes.model(asked, depth, every)]
        self._last = plain, passes.potential(asked)
        return found

    def potential(self, keeping: Keeping, plain: Plain, begin: int, end: int) -> _Floats:
        """F (n,) float32 at those of rows [begin, end) of the source that are here, by the pass that was asked for so.

        It was kept, or the pass is made again.
        """
        share = self._share
        begin, end = (min(max(row - share.first, 0), share.n_rows) for row in (begin, end))
        if begin == end:
            return np.empty(0, dtype=np.float32)
        if self._last is None or not self._last[0].is_same(plain):
            passes, asked = self._asked(keeping, plain)
            for _ in passes.evaluate(asked):
                pass
            self._last = plain, passes.potential(asked)
        return self._last[1].rows(begin, end).numpy()

    def drawn(
        self, chance: Chance, first: int, f: Sequence[_Floats], seed: int
    ) -> list[tuple[npt.NDArray[np.int64], _Floats]]:
        """What `part_drawn` gives of the parts here from number `first` on, of which `f` has the potential."""
        share = self._share

        def work(number: int) -> tuple[npt.NDArray[np.int64], _Floats]:
            rows, chances = part_drawn(
                self._source,
                chance,
                torch.from_numpy(f[number]),
                share.rows,
                share.parts[first + number],
                seed=seed,
                first=share.first,
            )
            return rows.numpy(), chances.numpy()

        return list(self._workers.map(work, range(len(f))))

    def means(self, work: Callable[[Tensor], Tensor]) -> list[float]:
        """Σ_i a_i `work(points)`_i of every part here, in order."""
        return list(self._workers.map(lambda part: self._mean(work, part), self._share.parts))

    def _mean(self, work: Callable[[Tensor], Tensor], part: Part) -> float:
        return float(part_mean(self._source, work, self._share.rows, part))

    def _asked(self, keeping: Keeping, plain: Plain) -> tuple[LocalPasses, Asked]:
        if self._passes is None or keeping != self._keeping:
            self._passes = LocalPasses(
                self._source,
                self._kernel,
                self._workers,
                parts=self._share.parts,
                block_rows=self._share.rows,
                keeping=keeping,
            )
            self._keeping = keeping
        return self._passes, plain.on(self._source.device, self._source.dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class Plain:
    """An `Asked` that travels."""

    bias: _Floats
    epsilon: float
    products: Any
    keeps: bool
    filled: bool

    @classmethod
    def of(cls, asked: Asked) -> Plain:
        """The same numbers as an array."""
        return cls(asked.bias.cpu().numpy(), asked.epsilon, asked.products, asked.keeps, asked.filled)

    def on(self, device: torch.device, dtype: torch.dtype) -> Asked:
        """The same numbers as a tensor."""
        bias = torch.from_numpy(np.array(self.bias)).to(device, dtype)
        return Asked(bias, self.epsilon, self.products, self.keeps, self.filled)

    def is_same(self, other: Plain) -> bool:
        """Whether a pass gives the same."""
        mine, others = (
            (each.epsilon, each.products, each.keeps, each.filled, each.bias.tobytes()) for each in (self, other)
        )
        return mine == others


class _Spans(Sequence[Any]):
    """Runs of rows of shards, opened when asked for."""

    def __init__(self, shards: Sequence[Any], spans: Sequence[tuple[int, int, int]]) -> None:
        self._shards, self._spans = shards, spans

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: Any) -> Any:
        shard, begin, end = self._spans[index]
        return as_shard(self._shards[shard])[begin:end]


def tensor(array: _Floats) -> Tensor:
    """Its own copy: what came through a pipe may not be written to."""
    return torch.from_numpy(np.array(array))
