"""How good a solve is, and what it took."""

from __future__ import annotations

import dataclasses
from typing import Any

from gotd_assets.transport.problem import Dtype, SolverName
from gotd_assets.transport.products import Products


@dataclasses.dataclass(frozen=True)
class Certificate:
    """How far a solve is from the optimum, proven, and what it took.

    Attributes:
        dual_value: H(g), a lower bound on the entropic transport cost.
        primal_upper_bound: cost of a feasible plan, an upper bound on it.
        gap: primal_upper_bound − dual_value; the optimum lies in between.
        marginal_error: ‖Pᵀ1 − b‖₁ of the returned g, from couplings that were neither reduced nor rounded.
        tolerance: the marginal error asked for.
        converged: marginal_error ≤ tolerance.
        passes: passes over the whole source; the last one certifies.
        subsample_passes: passes over a subsample of `subsample_rows` rows that prepared them.
        subsample_rows: rows of the subsample; 0 if the whole source was used from the start.
        seconds: wall-clock time of the solve.
        epsilon: absolute entropic regularisation.
        n_source: N.
        n_target: M.
        solver: 'semidual' or 'geomloss'.
        cached: whether couplings were cached between passes.
        dtype: arithmetic of the passes.
        device: where they ran.
        products: 'float32' or 'reduced' (see `Problem`), of all passes but the certifying one.
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
    seconds: float
    epsilon: float
    n_source: int
    n_target: int
    solver: SolverName
    cached: bool
    dtype: Dtype
    device: str
    products: Products = "float32"
    product_error: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return dataclasses.asdict(self)
