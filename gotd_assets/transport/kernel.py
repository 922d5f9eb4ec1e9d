"""Costs, as the part of the kernel's exponent that couples a source point with a target point.

For potentials g the exponent is (g_j − C(x_i, y_j)) / ε. Each cost splits as C(x_i, y_j) = r_i + c_j − z_ij, with r_i
of the source point alone, c_j of the target point alone, and the coupling z_ij that needs a matrix product.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from gotd_assets.transport.products import Factor

CostName: TypeAlias = Literal["sqeuclidean", "euclidean"]


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """The cost against fixed target points.

    Attributes:
        cost: 'sqeuclidean' is ½‖x−y‖², 'euclidean' is ‖x−y‖.
        targets: (M, D), centred like the source.
    """

    cost: CostName
    targets: Tensor

    @functools.cached_property
    def _factor(self) -> Factor:
        return Factor(self.targets)

    def source_part(self, points: Tensor) -> Tensor:
        """The part r (n,) of `points` (n, D)."""
        if self.cost == "sqeuclidean":
            return points.square().sum(1).mul_(0.5)
        return points.new_zeros(len(points))

    def target_part(self) -> Tensor:
        """The part c (M,) float64."""
        targets = self.targets.double()
        return targets.square().sum(1).mul_(0.5) if self.cost == "sqeuclidean" else targets.new_zeros(len(targets))

    def coupling(self, points: Tensor, out: Tensor | None = None) -> Tensor:
        """The coupling z (n, M) between `points` (n, D) and the targets."""
        if self.cost == "sqeuclidean":
            return self._factor.times(points, out)
        return _negative_distance(points, self.targets, out)

    def mean_cost_bound(self, shares: Tensor, max_norm: float) -> float:
        """At least Σ_k t_k C(x, y_k) − r(x) for every source point x of norm at most `max_norm`; `shares` t (M,) sum to 1.

        Through the mean ȳ of the targets: −x·ȳ ≤ ‖x‖‖ȳ‖, and a mean of distances is at most the root of their mean
        square. The mean of many points has a small norm, so little is lost.
        """
        targets = self.targets.double()
        shares = shares.to(targets)
        squares, mean = float(shares @ targets.square().sum(1)), float((shares @ targets).norm())
        if self.cost == "sqeuclidean":
            return squares / 2 + max_norm * mean
        return math.sqrt(max_norm**2 + squares + 2 * max_norm * mean)

    def bound(self, max_norm: float) -> tuple[float, float]:
        """An interval that holds every coupling for source points of norm at most `max_norm`."""
        reach = float(self.targets.norm(dim=1).max())
        if self.cost == "sqeuclidean":
            return -max_norm * reach, max_norm * reach
        return -(max_norm + reach), 0.0


def _negative_distance(points: Tensor, targets: Tensor, out: Tensor | None) -> Tensor:
    x, y = points.square().sum(1), targets.square().sum(1)
    squared = torch.addmm(y, points, targets.T, alpha=-2.0, out=out).add_(x[:, None])
    # The product cancels for points that nearly coincide; those few are computed from their difference.
    close = squared < 1e-3 * (x[:, None] + y)
    distance = squared.clamp_min_(0.0).sqrt_()
    if bool(close.any()):
        i, j = close.nonzero(as_tuple=True)
        for begin in range(0, len(i), 65536):
            part = slice(begin, begin + 65536)
            distance[i[part], j[part]] = (points[i[part]] - targets[j[part]]).norm(dim=1)
    return distance.neg_()
