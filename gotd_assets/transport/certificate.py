"""How good a solve is, and what it took."""

from __future__ import annotations

import dataclasses
from typing import Any

from gotd_assets.transport.ascent import Stopped
from gotd_assets.transport.problem import Dtype, SolverName
from gotd_assets.transport.products import Products

_LARGEST_ROUNDING = 0.05  # in units of ε
_SEPARATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Certificate:
    """How far a solve is from the optimum, proven, and what it took.

    Attributes:
        dual_value: H(g), a lower bound on the entropic transport cost.
        primal_upper_bound: cost of a feasible plan, an upper bound on it.
        gap: primal_upper_bound − dual_value; the optimum lies in between.
        marginal_error: ‖Pᵀ1 − b‖₁ of the returned g, from couplings that were not reduced.
        tolerance: the marginal error asked for.
        converged: marginal_error ≤ tolerance, and what else the problem asks for is predicted.
        passes: passes over the whole source; the last one certifies.
        subsample_passes: passes over a subsample of `subsample_rows` rows that prepared them.
        subsample_rows: rows of the subsample; 0 if the whole source was used from the start.
        seconds: wall-clock time of the solve; not in its file, which is the same whenever it is made.
        epsilon: absolute entropic regularisation.
        n_source: N.
        n_target: M.
        solver: 'semidual' or 'geomloss'.
        cached: whether couplings were cached between passes.
        dtype: arithmetic of the passes.
        device: where they ran.
        products: 'float32' or 'reduced' (see `Problem`), of all passes but the certifying one.
        rounding: how far a coupling may be off by the working precision alone, in units of ε; above .05 scores of points
            that are near each other are noise.
        newton_gap: how far the optimum lies above the dual value, as the curvature there predicts; None if not looked at.
        score_error: the largest error of a calibrated score, as predicted, in units of the cost; or None.
        top_share_overlap: share of the best rows that are among the best at the optimum, too, as predicted; or None.
        lambda2: the smallest eigenvalue but one of the curvature, scaled by the column marginal; near 0 where groups of
            targets share no rows, whose scores then compare within, not between; or None.
        stopped: 'converged', or why it ended without: 'passes' (as many as allowed), 'stalled' (the error no longer fell).
        product_error: the largest error of a reduced coupling found on the subsample, in units of ε; else 0.
    """

    dual_value: float
    primal_upper_bound: float
    gap: float
    marginal_error: float
    tolerance: float
    converged: bool
    passes: int
    subsample_passes: int
    subsample_rows: int
    epsilon: float
    n_source: int
    n_target: int
    solver: SolverName
    cached: bool
    dtype: Dtype
    device: str
    products: Products = "float32"
    product_error: float = 0.0
    seconds: float = dataclasses.field(default=0.0, compare=False)
    rounding: float = 0.0
    newton_gap: float | None = None
    score_error: float | None = None
    top_share_overlap: float | None = None
    lambda2: float | None = None
    stopped: Stopped | None = None

    @property
    def caveats(self) -> list[str]:
        """What a reader of the scores should know, in sentences."""
        said = []
        if self.rounding > _LARGEST_ROUNDING:
            said.append(
                f"a coupling may be off by {self.rounding:.2g} ε in {self.dtype}: ask for dtype 'float64', a larger epsilon, "
                "or vectors of smaller norm"
            )
        if self.lambda2 is not None and self.lambda2 < _SEPARATE:
            said.append(
                "groups of targets share next to no rows of the source: scores compare within what one group draws, not "
                "between groups"
            )
        if self.stopped == "stalled":
            said.append(
                f"the marginal error no longer fell after {self.passes} passes: {self.dtype} or the problem allows no less"
            )
        return said

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return dataclasses.asdict(self)
