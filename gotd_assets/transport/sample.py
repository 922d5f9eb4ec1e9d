"""`solve_sample`: the solver in the words of POT and geomloss."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.arrays import as_shard, shard_list
from gotd_assets.transport.certificate import Certificate
from gotd_assets.transport.gradient import OptimalValue
from gotd_assets.transport.kernel import CostName
from gotd_assets.transport.potentials import Potentials, solve
from gotd_assets.transport.problem import Problem, positive
from gotd_assets.transport.sketch import make_sketch
from gotd_assets.transport.weights import normalised_weights

_LARGEST_PLAN_BYTES = 2**30
_UNBALANCED = (
    "this solver relaxes the target's marginal alone: unbalanced=(inf, {0:g}), reg_m in POT; both marginals are relaxed by "
    "ot.unbalanced.sinkhorn_unbalanced of POT and by geomloss"
)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OTResult:
    """What `solve_sample` found; the plan is P_ij = a_i b_j exp((f_i + g_j − C_ij)/reg).

    Attributes:
        value: the regularised transport cost min ⟨C,P⟩ + reg·KL(P | a⊗b), a scalar float64 tensor that can be
            differentiated by whichever of X_a, X_b, a and b are tensors that require it.
        potentials: (f (N,), g (M,)), float64; arrays of NumPy unless X_a is a tensor.
        certificate: how exact this is, in units of ½‖x−y‖² for 'sqeuclidean'.
        lazy_plan: the plan by rows.
        solution: the potentials as `solve` returns them, in those units; they score points that were not seen.
    """

    value: Tensor
    potentials: tuple[Any, Any]
    certificate: Certificate
    lazy_plan: LazyPlan
    solution: Potentials

    @property
    def status(self) -> str:
        """'converged', or why the solve ended without: 'passes' or 'stalled'."""
        return self.certificate.stopped or ("converged" if self.certificate.converged else "passes")

    @property
    def potential_a(self) -> Any:
        """F (N,)."""
        return self.potentials[0]

    @property
    def potential_b(self) -> Any:
        """G (M,)."""
        return self.potentials[1]

    @functools.cached_property
    def plan(self) -> Tensor:
        """The whole plan (N, M), float64.

        Raises:
            TransportError: it would take more than 1 GiB: `lazy_plan` has it by rows.
        """
        rows, targets = self.lazy_plan.shape
        if 8 * rows * targets > _LARGEST_PLAN_BYTES:
            raise TransportError(
                f"a plan of {rows:,} × {targets:,} takes {8 * rows * targets / 2**30:.0f} GiB: take rows of `lazy_plan`"
            )
        return self.lazy_plan[:]

    @functools.cached_property
    def marginals(self) -> tuple[Tensor, Tensor]:
        """(P1 (N,), Pᵀ1 (M,)) float64: the source's weights, and the target's as far as they are met."""
        column = cast(Tensor, self.solution.column)
        return self.lazy_plan.source_weights, column

    @functools.cached_property
    def value_linear(self) -> float:
        """⟨C,P⟩, by one pass over the plan."""
        return sum(float((plan * cost).sum()) for plan, cost in self.lazy_plan.with_costs())

    def __repr__(self) -> str:
        """Value, sizes and status."""
        rows, targets = self.lazy_plan.shape
        return f"OTResult(value={float(self.value):.6g}, plan of {rows:,} × {targets:,}, status={self.status!r})"


class LazyPlan:
    """The plan (N, M) of which rows are computed when asked for: `plan[10:20]`, `plan[3]`, `plan[indices]`, `plan[:, 4]`."""

    def __init__(self, points: Any, source_weights: Tensor, solved: Potentials) -> None:
        """`points` (N, D) can be cut into rows."""
        self._points, self._solved = points, solved
        self.source_weights = source_weights
        self.shape = (len(source_weights), len(solved.g))

    def __getitem__(self, index: Any) -> Tensor:
        """Rows as a float64 tensor."""
        rows, columns = index if isinstance(index, tuple) else (index, slice(None))
        if isinstance(rows, int):
            return self[rows : rows + 1 or None, columns][0]
        weights = self.source_weights[rows]
        shares = torch.cat(list(self._solved.plan_rows(self._points[rows])) or [torch.empty(0, self.shape[1])])
        plan: Tensor = (shares.double().cpu() * weights[:, None])[:, columns]
        return plan

    def blocks(self) -> Iterator[Tensor]:
        """All rows in order, block by block: (n, M) float64."""
        begin = 0
        for shares in self._solved.plan_rows(self._points):
            weights = self.source_weights[begin : begin + len(shares)]
            begin += len(shares)
            yield shares.cpu() * weights[:, None]

    def with_costs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each of `blocks` with its costs (n, M)."""
        begin, targets = 0, self._solved.sketch.points.double()
        for plan in self.blocks():
            rows = torch.as_tensor(self._points[begin : begin + len(plan)]).detach().cpu().double()
            begin += len(plan)
            distance = torch.cdist(rows, targets, compute_mode="donot_use_mm_for_euclid_dist")
            yield plan, distance.square() if self._solved.problem.cost == "sqeuclidean" else distance

    def __repr__(self) -> str:
        """Its shape."""
        return f"LazyPlan(shape={self.shape})"


def solve_sample(
    X_a: Any,
    X_b: Any,
    a: Any = None,
    b: Any = None,
    *,
    metric: CostName = "sqeuclidean",
    reg: float | None = None,
    unbalanced: float | Sequence[float] | None = None,
    tol: float = 1e-4,
    max_iter: int = 500,
    problem: Problem | None = None,
) -> OTResult:
    """Entropic optimal transport between two point clouds, called and answered as `ot.solve_sample` of POT and geomloss.

    As there, 'sqeuclidean' is ‖x−y‖², without the half that `solve` has: `reg` is twice the ε of `solve`.

    Args:
        X_a: (N, D) tensor, array, frame, or whatever has `__array__` or DLPack.
        X_b: (M, D), likewise.
        a: (N,) weights of any sum, uniform by default.
        b: (M,) likewise.
        metric: 'sqeuclidean' ‖x−y‖² or 'euclidean' ‖x−y‖.
        reg: factor of KL(P | a⊗b), positive.
        unbalanced: None, or (inf, ρ) to relax the target's marginal by ρ·KL(Pᵀ1 | b).
        tol: marginal error ‖Pᵀ1 − b‖₁ to reach.
        max_iter: most passes over X_a.
        problem: device, products and memory; computed in float64 if both clouds are, unless it says otherwise.

    Raises:
        TransportError: as `solve`; `reg` is missing; or a marginal is to be relaxed that this solver does not relax.
    """
    if reg is None:
        raise TransportError(
            "reg is None: this solver is of entropic transport; a small one, such as 1e-3, is nearly exact"
        )
    source, target = _single(X_a, "X_a"), _single(X_b, "X_b")
    scale = 2.0 if metric == "sqeuclidean" else 1.0
    rho = _relaxation(unbalanced)
    double = all("float64" in str(cloud.dtype) for cloud in (source, target))
    given = Problem(dtype="float64" if double else "float32") if problem is None else problem
    asked = dataclasses.replace(
        given,
        cost=metric,
        epsilon=positive("reg", reg) / scale,
        epsilon_scale="absolute",
        reach=None if rho is None else (math.sqrt(rho / 2) if metric == "sqeuclidean" else rho),
        tolerance=tol,
        max_passes=max_iter,
        overlap=0.0,
        score_error=math.inf,
        solver="semidual",
    )
    sketch = make_sketch(target, method="all", cost=metric, weights=b)
    solved = solve(source, sketch, asked, weights=a)
    shares = normalised_weights(a, len(source), "source")
    value = torch.tensor(solved.certificate.dual_value, dtype=torch.float64)
    tensors = [v if isinstance(v, Tensor) else None for v in (X_a, X_b, a, b)]
    if any(tensor is not None and tensor.requires_grad for tensor in tensors):
        x, y = (torch.as_tensor(cloud) for cloud in (source, target))
        value = cast(Tensor, OptimalValue.apply((solved, shares), x, y, *tensors[2:]))  # type: ignore[no-untyped-call]
    f, g = scale * solved.soft_c_transform(source), scale * solved.g
    potentials = (f.to(X_a.device), g.to(X_a.device)) if isinstance(X_a, Tensor) else (f.numpy(), g.numpy())
    return OTResult(scale * value, potentials, solved.certificate, LazyPlan(source, shares, solved), solved)


def _single(cloud: Any, name: str) -> Any:
    shards = shard_list(cloud)
    if len(shards) != 1:
        raise TransportError(f"{name} is a sequence of {len(shards)} arrays; one is taken here: `solve` takes shards")
    return as_shard(shards[0])


def _relaxation(unbalanced: float | Sequence[float] | None) -> float | None:
    """Of the target's marginal, None for none."""
    if unbalanced is None:
        return None
    given = list(unbalanced) if isinstance(unbalanced, Sequence) else [unbalanced]
    pair = [positive("unbalanced", value, infinite=True) for value in given]
    if not 1 <= len(pair) <= 2:
        raise TransportError(f"unbalanced is {unbalanced!r}; it must be (inf, ρ), for the target's marginal")
    first, second = pair[0], pair[-1]
    if first != math.inf:
        raise TransportError(f"unbalanced is {unbalanced!r}: " + _UNBALANCED.format(min(first, second)))
    return None if second == math.inf else second
