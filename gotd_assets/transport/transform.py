"""The soft c-transform: the source potential at any point, from the target's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.arrays import as_tensor
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.problem import Problem
from gotd_assets.transport.sketch import Sketch

_BLOCK_ELEMENTS = 4_000_000
# Two points are one if their distance over their norms' sum is no more than rounding to float32 makes of none.
_SAME = 1e-5
# Weight that others must have for a point to be left out.
_LEAST = 1e-9


def soft_c_transform(
    points: Any, g: Tensor, sketch: Sketch, problem: Problem, *, leave_one_out: bool = False
) -> Tensor:
    """f(x) = −ε log Σ_j b_j exp((g_j − C(x, y_j))/ε) at `points` (n, D); (n,) float64 on the CPU.

    Computed on the problem's device, in float64 for float64 points, else in float32.

    Args:
        points: tensor or array (n, D) of any floating dtype.
        g: (M,) float64, a potential on the sketch.
        sketch: y and b.
        problem: C, absolute ε, and the device.
        leave_one_out: a point of the sketch is no partner of its own: j with y_j = x are left out of the sum, and the
            others share their weight. Where nothing else is, nothing is left out.

    Raises:
        TransportError: `points` have another dimension than the sketch, or hold NaN.
    """
    transform = Transform(sketch, problem, leave_one_out=leave_one_out)
    return transform.of(transform.blocks(points), g)


class Transform:
    """The soft c-transform of one sketch, for more than one potential on it; arguments as in `soft_c_transform`."""

    def __init__(self, sketch: Sketch, problem: Problem, *, leave_one_out: bool = False) -> None:
        self._sketch, self._epsilon, self._leave_one_out = sketch, problem.epsilon, leave_one_out
        self._cost, self._where = problem.cost, problem.torch_device

    def blocks(self, points: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """Block by block of `points`, what no potential changes: coupling over ε (n, M), and what f has beyond the sum (n,).

        Raises:
            TransportError: `points` have another dimension than the sketch.
        """
        if points.ndim != 2 or points.shape[1] != self._sketch.points.shape[1]:
            raise TransportError(
                f"points have shape {tuple(points.shape)}, expected (n, {self._sketch.points.shape[1]})"
            )
        dtype = torch.float64 if points.dtype in (torch.float64, "float64") else torch.float32
        centre = self._sketch.centre.to(self._where, dtype)
        kernel = Kernel(self._cost, self._sketch.points.to(self._where, dtype) - centre)
        rows_per_block = max(64, _BLOCK_ELEMENTS // len(self._sketch.weights))
        for begin in range(0, len(points), rows_per_block):
            rows = as_tensor(points[begin : begin + rows_per_block], self._where, dtype) - centre
            coupling = kernel.coupling(rows).mul_(1 / self._epsilon)
            beyond = kernel.source_part(rows).double()
            if self._leave_one_out:
                same = _same(rows, kernel.targets)
                others = 1 - same.double() @ self._sketch.weights.to(self._where)
                has_others = others > _LEAST
                coupling.masked_fill_(same & has_others[:, None], -torch.inf)
                beyond += self._epsilon * torch.where(has_others, others, 1.0).log()
            yield coupling, beyond

    def of(self, blocks: Iterable[tuple[Tensor, Tensor]], g: Tensor, *, keep: bool = False) -> Tensor:
        """The transform f (n,), float64 on the CPU, from `blocks` and g (M,); blocks are used up unless they are to `keep`.

        Raises:
            TransportError: a point holds NaN.
        """
        parts = []
        bias: Tensor | None = None
        for coupling, beyond in blocks:
            if bias is None:
                # In the block's own number format, as the coupling was.
                centred = self._sketch.points.to(self._where, coupling.dtype) - self._sketch.centre.to(
                    self._where, coupling.dtype
                )
                constant = (g.to(self._where) - Kernel(self._cost, centred).target_part()) / self._epsilon
                bias = (constant + self._sketch.weights.to(self._where).log()).to(coupling.dtype)
            exponent = coupling + bias if keep else coupling.add_(bias)
            maximum = exponent.amax(dim=1, keepdim=True)
            kernel_sum = exponent.sub_(maximum).clamp_min_(-80.0).exp_().sum(dim=1)
            parts.append(beyond - self._epsilon * (maximum[:, 0].double() + kernel_sum.double().log()))
        f = torch.cat(parts).cpu() if parts else torch.empty(0, dtype=torch.float64)
        if bool(torch.isnan(f).any()):
            raise TransportError(f"point {int(torch.isnan(f).nonzero()[0, 0])} holds NaN: it cannot be scored")
        return f


def _same(points: Tensor, targets: Tensor) -> Tensor:
    """Which pairs of rows (n, M) are one point, as far as float32 can tell."""
    x, y = points.square().sum(1), targets.square().sum(1)
    squared = torch.addmm(y, points, targets.T, alpha=-2.0).add_(x[:, None])
    # The product cancels for points that nearly coincide: those few are told apart by their difference.
    same = squared <= 1e-3 * (x[:, None] + y)
    i, j = same.nonzero(as_tuple=True)
    same[i, j] = (points[i] - targets[j]).norm(dim=1) <= _SAME * (x[i].sqrt() + y[j].sqrt())
    return same
