"""What a pass does with the rows of the source: the parts of its sums, each of a fixed run of rows.

A part is the same whoever computes it, and parts are added in their order in float64: a sum depends neither on how many
threads or machines made it nor on which of them was done first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from gotd_assets.transport.couplings import LOG2_E, CoupledBlock, Couplings, Keeping
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.model import Entries
from gotd_assets.transport.products import Products, gram, product_precision
from gotd_assets.transport.source import Part, PreparedSource
from gotd_assets.transport.source_potential import SourcePotential
from gotd_assets.transport.workers import Partial, Workers

# Below this, a power of 2 times a row's weight is no longer a normal number, and arithmetic on such is several times slower.
_LOWEST_EXPONENT = {torch.float32: -86.0, torch.float64: -940.0}

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """What a pass is made with.

    Attributes:
        bias: (M,) in the working precision, the exponent's part of the target alone.
        epsilon: absolute.
        products: of the couplings that are computed.
        keeps: whether couplings are kept, or those kept are used.
        filled: whether an earlier pass kept them all.
    """

    bias: Tensor
    epsilon: float
    products: Products
    keeps: bool
    filled: bool


Found: TypeAlias = tuple[Tensor, Tensor, list[Entries]]
"""Of a part: the sums (2, M), Σ w f, and the entries of its blocks."""


class Passes(Protocol):
    """Passes over all rows of a source. What is yielded is of one part each, in the order of parts."""

    def evaluate(self, asked: Asked) -> Iterator[Partial]:
        """(2, M) float64, the sums of Pᵀ1 and of Σ_i P_ij (r_i − f_i); and Σ_i w_i f_i."""
        ...

    def curvature(self, asked: Asked) -> Iterator[Partial]:
        """What `evaluate` yields, and (M, M) Pᵀ diag(1/a) P in the working precision."""
        ...

    def moved(self, asked: Asked, step: Tensor) -> Tensor:
        """(N, 2) float64: f, and how it changes to first order as g moves by `step` (M,)."""
        ...

    def model(self, asked: Asked, depth: float, every: int) -> Iterator[Found]:
        """What `evaluate` yields, and the entries of every `every`-th row that lie at most `depth` below its largest."""
        ...

    def potential(self, asked: Asked) -> SourcePotential:
        """F of the pass just made, which was `asked`, left where it is."""
        ...


class LocalPasses:
    """Passes over parts of a source that this process reads."""

    def __init__(
        self,
        source: PreparedSource,
        kernel: Kernel,
        workers: Workers,
        *,
        parts: Sequence[Part],
        block_rows: int,
        keeping: Keeping,
    ) -> None:
        self._source = source
        self._size = len(kernel.targets)
        self._workers = workers
        self._couplings = Couplings(
            source, kernel, parts, block_rows=block_rows, workers=workers.count, keeping=keeping
        )
        self._potential = torch.empty(0)

    def _made(self, work: Callable[[int], _Result], asked: Asked) -> Iterator[_Result]:
        with product_precision(asked.products, self._source.device):
            yield from self._workers.map(work, range(len(self._couplings.parts)))

    def _blocks(self, part: int, asked: Asked) -> Iterator[CoupledBlock]:
        return self._couplings.blocks(part, keeps=asked.keeps, filled=asked.filled)

    def evaluate(self, asked: Asked) -> Iterator[Partial]:
        """See `Passes`."""
        potential = self._potential = self._room()
        bias = asked.bias * LOG2_E

        def work(part: int) -> Partial:
            sums, total = self._zeros(2, self._size), self._zeros()
            for block in self._blocks(part, asked):
                exponent = block.exponent(bias, asked.epsilon)
                f, kernel_sum = _soft_minimum(exponent, _row_maximum(exponent), block.rows, asked.epsilon)
                potential[block.start : block.start + len(f)] = f
                sums += _column_sums(exponent, kernel_sum, f, block)
                total += torch.dot(block.weights, f)
            return sums, total

        return self._made(work, asked)

    def curvature(self, asked: Asked) -> Iterator[Partial]:
        """See `Passes`."""
        potential = self._potential = self._room()
        bias = asked.bias * LOG2_E

        def work(part: int) -> Partial:
            sums, total = self._zeros(2, self._size), self._zeros()
            product = torch.zeros(self._size, self._size, dtype=self._source.dtype, device=self._source.device)
            for block in self._blocks(part, asked):
                exponent = block.exponent(bias, asked.epsilon)
                f, kernel_sum = _soft_minimum(exponent, _row_maximum(exponent), block.rows, asked.epsilon)
                potential[block.start : block.start + len(f)] = f
                sums += _column_sums(exponent, kernel_sum, f, block)
                total += torch.dot(block.weights, f)
                exponent.mul_((block.weights.sqrt() / kernel_sum).to(exponent.dtype)[:, None])
                product += gram(exponent)
            return sums, total, product

        return self._made(work, asked)

    def moved(self, asked: Asked, step: Tensor) -> Tensor:
        """See `Passes`."""
        move, bias = step.to(self._source.device, self._source.dtype), asked.bias * LOG2_E
        moved = torch.empty(self._source.n_rows, 2, dtype=torch.float64, device=self._source.device)

        def work(part: int) -> None:
            for block in self._blocks(part, asked):
                exponent = block.exponent(bias, asked.epsilon)
                f, kernel_sum = _soft_minimum(exponent, _row_maximum(exponent), block.rows, asked.epsilon)
                change = torch.mv(exponent, move).double() / -kernel_sum
                moved[block.start : block.start + len(f)] = torch.stack([f, change], dim=1)

        for _ in self._made(work, asked):
            pass
        return moved

    def model(self, asked: Asked, depth: float, every: int) -> Iterator[Found]:
        """See `Passes`. For processors: the number of entries is known only after they were looked for."""
        potential = self._potential = self._room()
        bias = asked.bias * LOG2_E

        def work(part: int) -> Found:
            sums, total, found = self._zeros(2, self._size), self._zeros(), []
            for block in self._blocks(part, asked):
                exponent = block.exponent(bias, asked.epsilon)
                maximum = _row_maximum(exponent)
                exponent.sub_(maximum)
                entries = Entries.of(exponent[::every], block.weights[::every], depth * LOG2_E)
                f, kernel_sum = _soft_minimum(exponent, maximum, block.rows, asked.epsilon, reduced=True)
                found.append(entries.shared(kernel_sum[::every], f[::every]))
                potential[block.start : block.start + len(f)] = f
                sums += _column_sums(exponent, kernel_sum, f, block)
                total += torch.dot(block.weights, f)
            return sums, total, found

        return self._made(work, asked)

    def potential(self, asked: Asked) -> SourcePotential:
        """See `Passes`."""
        del asked
        return SourcePotential.of(self._potential, self._source.lengths)

    def _room(self) -> Tensor:
        return torch.empty(self._source.n_rows, dtype=torch.float32, device=self._source.device)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self._source.device)


def _column_sums(exponential: Tensor, kernel_sum: Tensor, f: Tensor, block: CoupledBlock) -> Tensor:
    """(2, M) float64: the block's part of the column marginal Pᵀ1 and of Σ_i P_ij (r_i − f_i)."""
    share = block.weights / kernel_sum
    columns = torch.mv(exponential.T, share.to(exponential.dtype))
    excess = torch.mv(exponential.T, (share * (block.rows - f)).to(exponential.dtype))
    return torch.stack([columns, excess]).double()


def _row_maximum(exponent: Tensor) -> Tensor:
    return exponent.amax(dim=1, keepdim=True)


def _soft_minimum(
    exponent: Tensor, maximum: Tensor, rows: Tensor, epsilon: float, *, reduced: bool = False
) -> tuple[Tensor, Tensor]:
    """Turn `exponent` (n, M) of 2 in place into 2^(exponent − row maximum); return f (n,) and the row sums, float64.

    `reduced` says that the maximum (n, 1) was subtracted already.
    """
    if not reduced:
        exponent.sub_(maximum)
    exponent.clamp_min_(_LOWEST_EXPONENT[exponent.dtype]).exp2_()
    kernel_sum = exponent.sum(dim=1).double()
    return rows - epsilon * (maximum[:, 0].double() / LOG2_E + kernel_sum.log()), kernel_sum
