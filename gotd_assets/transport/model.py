"""A model of the semi-dual around one g: the entries of P that count, as they would be at any other g nearby.

Where couplings are sharp, a row's mass lies on a few targets. With the shares s_ij of those that hold it or could hold it
after a step, kept by one pass, and the rest r_i of a row spread like what the columns have besides,

    H̃(g + εδ) = H(g) − ε Σ_i w_i log(Σ_j s_ij e^{δ_j} + r_i Σ_j q_j e^{δ_j}) + ε Σ_j t_j δ_j

is H itself as long as no other entry rises. A Newton step knows the exponentials only to second order: it overshoots for a
target that is hardly served, and sees no mass that is still to come. The model has neither fault, and evaluating it costs a
few operations for an entry instead of D for every pair. Where rows are left out, t is what the model's columns are to become
for the true ones to become b: t_j is the model's column times b_j/c_j.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gotd_assets.transport.workers import Workers

_Floats = npt.NDArray[np.float64]
_GROUPS = 8
_LARGE = 5e-3
_LEAST_UNSEEN = 1e-3  # of a column: less is rounding
_DOUBLE_CURVATURE = 1500
_FEW_PER_ROW = 6
_MOST_CARRIED = 0.5
_ROWS_PER_TARGET = 4  # in a group, of a curvature where rows have more large entries
_MOST_PRODUCTS = 2 * 10**9  # multiplications, in a group, there


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """Entries of some rows: `columns` (k,) int32 and `shares` (k,) row by row, `counts` (n,) of them, `weights`, `f` (n,)."""

    columns: npt.NDArray[np.int32]
    shares: npt.NDArray[np.floating]
    counts: npt.NDArray[np.int64]
    weights: _Floats
    f: _Floats

    @classmethod
    def of(cls, below: Tensor, weights: Tensor, depth: float) -> Entries:
        """Of exponents of 2 `below` (n, M) their row's largest; shares are exponents still, f is empty."""
        exponents = below.numpy()
        # Several times faster than PyTorch's nonzero where few are.
        rows, columns = np.divmod(np.flatnonzero(exponents >= -depth).astype(np.int64), exponents.shape[1])
        values = exponents[rows, columns]
        counts = np.bincount(rows, minlength=len(exponents))
        return cls(columns.astype(np.int32), values, counts, weights.numpy().copy(), np.empty(0))

    def shared(self, kernel_sum: Tensor, f: Tensor) -> Entries:
        """With shares of `kernel_sum` (n,), a row's sum of exponentials, for exponents."""
        shares = np.exp2(self.shares, dtype=np.float64) / np.repeat(kernel_sum.numpy(), self.counts)
        return dataclasses.replace(self, shares=shares.astype(self.shares.dtype), f=f.numpy().copy())


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """Rows of the model that are worked on together."""

    columns: npt.NDArray[np.int32]
    shares: _Floats
    counts: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    weights: _Floats
    rest: _Floats
    f: _Floats

    @classmethod
    def of(cls, parts: list[Entries]) -> _Group:
        columns, shares, counts, weights, f = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("columns", "shares", "counts", "weights", "f")
        )
        starts = np.cumsum(counts) - counts
        exact = shares.astype(np.float64)
        rest = 1.0 - np.add.reduceat(exact, starts)
        # What is rounded of the shares of a row is no rest.
        rest = np.where(rest > 16 * np.finfo(shares.dtype).eps, rest, 0.0)
        return cls(columns, exact, counts, starts, weights, rest, f)

    def normalised(self, factors: _Floats, rest: float) -> tuple[_Floats, _Floats]:
        """Entries times their column's factor, and the sums of rows with it, the rest's being `rest`."""
        values = self.shares * np.take(factors, self.columns)
        return values, np.add.reduceat(values, self.starts) + self.rest * rest

    def near(self, factors: _Floats, least: float) -> _Group:
        """Without entries that, times `factors` (M,), are less than `least` of their row's largest."""
        values = self.shares * np.take(factors, self.columns)
        is_large = values >= np.repeat(least * np.maximum.reduceat(values, self.starts), self.counts)
        counts = np.add.reduceat(is_large, self.starts, dtype=np.int64)
        kept = np.flatnonzero(is_large)
        starts = np.cumsum(counts) - counts
        return dataclasses.replace(
            self, columns=self.columns[kept], shares=self.shares[kept], counts=counts, starts=starts
        )


class Model:
    """H̃ at g + εδ, as a function of δ (M,), in units of ε and less H(g)."""

    def __init__(
        self,
        entries: list[Entries],
        column: Tensor,
        wanted: Tensor,
        relaxed: float | None,
        workers: Workers,
        *,
        depth: float,
    ) -> None:
        """`column` and `wanted` (M,) are Pᵀ1 and what it is to become; `relaxed` is ε/ρ with `reach`; entries are as deep as `depth`."""
        self._workers = workers
        self._depth = depth
        self.relaxed = relaxed
        self.size = len(column)
        entries = [entry for entry in entries if len(entry.counts)]
        bounds = np.linspace(0, len(entries), min(_GROUPS, len(entries)) + 1).astype(int)
        self.groups = [
            _Group.of(entries[begin:end]) for begin, end in itertools.pairwise(bounds.tolist()) if begin < end
        ]
        self._mass = sum(float(group.weights.sum()) for group in self.groups)
        true = column.numpy()
        kept = (
            sum(
                (
                    np.bincount(
                        group.columns, group.shares * np.repeat(group.weights, group.counts), minlength=self.size
                    )
                    for group in self.groups
                ),
                start=np.zeros(self.size),
            )
            / self._mass
        )
        rest = sum(float(group.weights @ group.rest) for group in self.groups) / self._mass
        unseen = np.where(true - kept > _LEAST_UNSEEN * true, true - kept, 0.0)
        self.spread = unseen / unseen.sum() if unseen.sum() > 0 else true / true.sum()
        base = kept + rest * self.spread
        ratio = np.where(true > 0, wanted.numpy() / np.maximum(true, 1e-300), 1.0)
        self.target = np.where(wanted.numpy() > 0, np.maximum(base, 1e-300) * ratio, 0.0)
        if relaxed is None:
            self.target /= self.target.sum()

    def wanted(self, delta: _Floats) -> _Floats:
        """(M,) what the columns are to be at `delta`."""
        return self.target if self.relaxed is None else self.target * np.exp(-self.relaxed * delta)

    def near(self, delta: _Floats, depth: float) -> Model:
        """The model without entries that at `delta` are less than e^−`depth` of their row's largest: as good near there, and quicker."""
        if self._depth <= depth:
            return self
        factors, least = np.exp(delta), math.exp(-depth)
        model = copy.copy(self)
        model.groups = list(self._workers.map(lambda group: group.near(factors, least), self.groups))
        return model

    def value(self, delta: _Floats) -> tuple[float, _Floats]:
        """H̃ and the columns (M,) there."""
        factors = np.exp(delta)
        rest = float(self.spread @ factors)

        def work(group: _Group) -> tuple[float, _Floats, float]:
            values, sums = group.normalised(factors, rest)
            values *= np.repeat(group.weights / sums, group.counts)
            column = torch.zeros(self.size, dtype=torch.float64)
            column.index_add_(0, torch.from_numpy(group.columns), torch.from_numpy(values))
            return -float(group.weights @ np.log(sums)), column.numpy(), float(group.weights @ (group.rest / sums))

        total, column, left = 0.0, np.zeros(self.size), 0.0
        for value, part, share in self._workers.map(work, self.groups):
            total, column, left = total + value, column + part, left + share
        column += left * self.spread * factors
        gain = (
            float(self.target @ delta)
            if self.relaxed is None
            else -float(self.target @ np.expm1(-self.relaxed * delta)) / self.relaxed
        )
        return total / self._mass + gain, column / self._mass

    def curvature(self, delta: _Floats, column: _Floats) -> Tensor:
        """Minus the Hessian, (M, M), from each row's largest entries; what the model has not of a row is spread like `column`.

        So each row still is a distribution and the matrix a sum of their covariances: positive semi-definite with the
        null vector 1, like the exact one (which it is if all entries are large).
        """
        dtype = torch.float64 if self.size <= _DOUBLE_CURVATURE else torch.float32
        factors = np.exp(delta)
        rest = float(self.spread @ factors)

        def work(group: _Group) -> tuple[Tensor, Tensor, Tensor, float, float]:
            values, sums = group.normalised(factors, rest)
            values /= np.repeat(sums, group.counts)
            large = np.flatnonzero(values > _LARGE)
            rows = np.repeat(np.arange(len(group.counts)), group.counts)[large]
            every = self._every(len(group.counts), len(large))
            weights = torch.from_numpy(group.weights)
            if every > 1:
                # The same rows in every sum, so that the matrix stays one of covariances.
                used = rows % every == 0
                large, rows = large[used], rows[used]
                others = torch.arange(len(weights)) % every > 0
                total, weights = weights.sum(), weights.masked_fill(others, 0.0)
                weights *= total / weights.sum().clamp_min(1e-300)
            row = torch.from_numpy(rows)
            places, share = torch.from_numpy(group.columns[large].astype(np.int64)), torch.from_numpy(values[large])
            carried = torch.zeros(len(weights), dtype=torch.float64).index_add_(0, row, share)
            # The small entries of a row are among the targets of its large ones: spread over all, they would tie groups of
            # targets together that share no rows.
            whole = torch.where(carried > _MOST_CARRIED, 1 - torch.from_numpy(group.rest * rest / sums), carried)
            share = share * (whole / carried.clamp_min(1e-300))[row]
            left = (1 - whole).clamp_min_(0.0)
            weighted = share * weights[row]
            product = self._products(places, share, row, weights, every).to(dtype)
            kept, spread = (torch.zeros(self.size, dtype=torch.float64) for _ in "12")
            kept.index_add_(0, places, weighted)
            spread.index_add_(0, places, weighted * left[row])
            return product, kept, spread, float(weights @ left), float(weights @ left.square())

        product = torch.zeros(self.size * self.size, dtype=dtype)
        kept, spread = (torch.zeros(self.size, dtype=torch.float64) for _ in "12")
        left = left_squared = 0.0
        for part in self._workers.map(work, self.groups):
            product.sub_(part[0])
            kept.add_(part[1])
            spread.add_(part[2])
            left, left_squared = left + part[3], left_squared + part[4]
        marginal = torch.from_numpy(column)
        spread.add_(marginal, alpha=left_squared / 2)
        curvature = product.view(self.size, self.size)
        curvature.addr_(spread.to(dtype), marginal.to(dtype), alpha=-1.0)
        curvature.addr_(marginal.to(dtype), spread.to(dtype), alpha=-1.0)
        curvature.diagonal().add_((kept + left * marginal).to(dtype))
        curvature /= self._mass
        if self.relaxed is not None:
            curvature.diagonal().add_(torch.from_numpy(self.relaxed * self.wanted(delta)).to(dtype))
        return curvature

    def _every(self, rows: int, entries: int) -> int:
        """Of how many rows one is enough for a curvature, where a row has so many large entries that its products are dense."""
        if entries <= _FEW_PER_ROW * rows:
            return 1
        return max(1, rows // (_ROWS_PER_TARGET * self.size), -(-rows * self.size**2 // _MOST_PRODUCTS))

    def _products(self, places: Tensor, share: Tensor, row: Tensor, weights: Tensor, every: int) -> Tensor:
        """Σ_i w_i p_ij p_ik (M·M,) over the entries `share` (k,) at targets `places` in rows `row`, which are every `every`-th."""
        if every == 1 and len(row) <= _FEW_PER_ROW * len(weights):
            first, second = _pairs(row, len(weights))
            product = torch.zeros(self.size * self.size, dtype=torch.float64)
            return product.scatter_add_(
                0, places[first] * self.size + places[second], weights[row][first] * share[first] * share[second]
            )
        dense = torch.zeros(-(-len(weights) // every), self.size, dtype=torch.float32)
        dense[row // every, places] = (share * weights[row].sqrt()).float()
        return (dense.T @ dense).flatten().double()

    def potentials(self, delta: _Floats) -> tuple[_Floats, _Floats, _Floats]:
        """F (n,) of the model's rows at δ = 0, what it changes by (in units of ε) on the way to `delta`, and their weights."""
        factors = np.exp(delta)
        rest = float(self.spread @ factors)
        changes = [-np.log(group.normalised(factors, rest)[1]) for group in self.groups]
        return self.f, np.concatenate(changes), np.concatenate([group.weights for group in self.groups])

    @functools.cached_property
    def f(self) -> _Floats:
        """The source potential of the model's rows."""
        return np.concatenate([group.f for group in self.groups])


def _pairs(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """All ordered pairs (first, second) of entries of one row; `rows` (k,) ascending says which row of `count` each is of."""
    in_row = torch.bincount(rows, minlength=count)
    partners = in_row[rows]
    first = torch.repeat_interleave(torch.arange(len(rows)), partners)
    rank = torch.arange(len(first)) - (partners.cumsum(0) - partners)[first]
    second = (in_row.cumsum(0) - in_row)[rows[first]] + rank
    return first, second
