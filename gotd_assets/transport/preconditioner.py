"""The curvature that a subsample of the source has, and what it tells of the whole source."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gotd_assets.transport.newton import factorised
from gotd_assets.transport.semidual import SemiDual

_LEAST_DAMPING = 1e-9
_COLUMNS = 128
_NEAR = 0.5  # in units of ε, how far apart potentials may move for a curvature to be the same


class Preconditioner:
    """ε times the inverse of the negative Hessian at some earlier g of a subsample, damped; diagonal until asked for."""

    def __init__(self, oracle: SemiDual) -> None:
        self.oracle = oracle
        self.curvature: Tensor | None = None
        self._factor: Tensor | None = None
        self._at: Tensor | None = None
        self.passes = 0
        self.refreshes = 0

    def refresh(self, g: Tensor) -> Tensor:
        """Take the exact curvature at `g` from the subsample, in one pass."""
        _, curvature = self.oracle.curvature(g)
        self.curvature, self._at = curvature, g.clone()
        self._factor, _ = factorised(curvature, self._scale().to(curvature.dtype), 1e-2)
        self.refreshes += 1
        self.passes += 1
        return curvature

    def around(self, g: Tensor) -> Tensor:
        """The curvature at `g`, or the last if it was taken near there."""
        if self.curvature is not None and self._at is not None:
            moved = (g - self._at)[self.oracle.b > 0]
            if float(moved.max() - moved.min()) <= _NEAR * self.oracle.epsilon:
                return self.curvature
        return self.refresh(g)

    def sampling_error(self, share_left: float) -> float:
        """How far the optimum over all rows is from the subsample's, in units of ε: the largest standard deviation of a potential.

        `share_left` of the rows are not in the subsample. The gradient at the subsample's optimum is a mean over random rows p
        of covariance Σ = E ppᵀ − ccᵀ = diag(c) − H − ccᵀ, and a Newton step from there has H⁻¹ΣH⁻¹/n.
        """
        if self.curvature is None:
            return math.inf
        column, curvature = self.oracle.marginal, self.curvature
        factor, _ = factorised(curvature.double(), self._scale(), _LEAST_DAMPING)
        noise = torch.diag(column) - curvature - torch.outer(column, column)
        once = self._solved(noise.double(), factor)
        variance = self._solved(once.T, factor).diagonal()[self.oracle.b > 0]
        return math.sqrt(max(0.0, float(variance.max()) * share_left / self.oracle.source.n_rows))

    def _solved(self, columns: Tensor, factor: Tensor) -> Tensor:
        """(M, M) of as many right-hand sides, a few at a time on every core."""
        parts = self.oracle.workers.map(
            lambda part: torch.cholesky_solve(part, factor), torch.split(columns, _COLUMNS, dim=1)
        )
        return torch.cat(list(parts), dim=1)

    def _scale(self) -> Tensor:
        return self.oracle.b.clamp_min(1e-3 / len(self.oracle.b))

    def apply(self, direction: Tensor) -> Tensor:
        """The preconditioned `direction` (M,)."""
        if self._factor is None:
            return self.oracle.epsilon * direction / self._scale()
        solved = torch.cholesky_solve(direction.to(self._factor.dtype)[:, None], self._factor)[:, 0]
        return solved.double().mul_(self.oracle.epsilon)
