"""The solver: from a source and a sketch to potentials with a certificate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.ascent import Ascent, Preconditioner, anneal, ascend
from gotd_assets.transport.kernel import CostName, Kernel
from gotd_assets.transport.potentials import Certificate, Potentials
from gotd_assets.transport.semidual import Evaluation, SemiDual
from gotd_assets.transport.sketch import Sketch
from gotd_assets.transport.source import PreparedSource, Shards, prepare, resolve_device

_SUBSAMPLE_BYTES = 256 * 2**20
_SUBSAMPLE_PER_TARGET = 20
_BLOCK_BYTES = 8 * 2**20
_CUDA_BLOCK_SHARE = 1 / 16


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a solve is: stage, passes made in it, marginal error, dual value, seconds since the start."""

    stage: str
    passes: int
    marginal_error: float
    dual_value: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"transport, {self.stage}: pass {self.passes}, marginal error {self.marginal_error:.2e}, "
            f"dual value {self.dual_value:.6g}, {self.seconds:.1f} s"
        )


def solve(
    source: Shards | PreparedSource,
    sketch: Sketch,
    *,
    source_weights: Tensor | np.ndarray[Any, Any] | None = None,
    cost: CostName = "sqeuclidean",
    epsilon: float = 0.05,
    epsilon_scale: Literal["absolute", "mean", "median"] = "absolute",
    tolerance: float = 1e-2,
    max_passes: int = 500,
    memory_budget_bytes: int = 2 * 2**30,
    device: str = "auto",
    dtype: Literal["float32", "float64"] = "float32",
    initial: Potentials | None = None,
    reach: float | None = None,
    debias: bool = False,
    solver: Literal["semidual", "geomloss"] = "semidual",
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> Potentials:
    """Potentials of the entropic transport problem min ⟨C,P⟩ + ε KL(P | a⊗b) between source and sketch.

    Args:
        source: (N, D) tensor or array, or a sequence of such shards that can be read again (memory-mapped arrays are
            copied block by block, half precision is widened).
        sketch: the target's M weighted points.
        source_weights: (N,), uniform by default; zeros are allowed.
        cost: 'sqeuclidean' is ½‖x−y‖² (1 − cosine on unit vectors), 'euclidean' is ‖x−y‖.
        epsilon: entropic regularisation in units of the cost; geomloss calls its p-th root `blur`.
        epsilon_scale: what epsilon is a multiple of: 1, or the mean or median cost between source and sketch.
        tolerance: marginal error ‖Pᵀ1 − b‖₁ to reach.
        max_passes: passes over the source after which the solve ends without convergence.
        memory_budget_bytes: for couplings cached between passes, in 16-bit fixed point when ε allows, else in `dtype`;
            beyond it they are recomputed.
        device: 'auto', 'cpu', 'cuda', ….
        dtype: arithmetic of the passes; sums are float64 always.
        initial: potentials of an earlier solve for a similar target, to start from; their g is carried over to the new
            sketch by c-transform.
        reach: distance beyond which the target's mass may stay unserved (unbalanced target marginal), None for never.
        debias: also solve the source's self-potential, so that scores are gradients of the Sinkhorn divergence.
        solver: 'semidual', or 'geomloss' as the reference.
        progress: called after every pass.
        seed: of the subsample.

    Raises:
        TransportError: shapes differ, NaN (naming shard and row), empty measures, or parameters out of range.
    """
    started = time.perf_counter()
    _check(epsilon, tolerance, max_passes, reach)
    where, precision = resolve_device(device), torch.float64 if dtype == "float64" else torch.float32
    points = sketch.points.to(where, torch.float64)
    if not bool(torch.isfinite(points).all()):
        raise TransportError("the sketch holds NaN or an infinity")
    prepared = prepare(
        source,
        dimension=points.shape[1],
        centre=sketch.centre,
        weights=source_weights,
        device=where,
        dtype=precision,
    )
    kernel = Kernel(cost, (points - prepared.centre.to(where)).to(precision))
    sample = _subsample(prepared, len(points), seed)
    mean_cost, median_cost = _typical_costs(sample, kernel)
    epsilon *= {"absolute": 1.0, "mean": mean_cost, "median": median_cost}[epsilon_scale]
    problem = _Problem(
        source=prepared,
        sample=sample,
        kernel=kernel,
        weights=sketch.weights,
        epsilon=epsilon,
        rho=None if reach is None else (reach**2 if cost == "sqeuclidean" else reach),
        block_rows=_block_rows(len(points), precision, where),
        cache_bytes=memory_budget_bytes,
        tolerance=tolerance,
        max_passes=max_passes,
        mean_cost=mean_cost,
        started=started,
        progress=progress,
    )
    if solver == "geomloss":
        from gotd_assets.transport.reference import geomloss_potential

        g = geomloss_potential(prepared, kernel, sketch.weights, epsilon, reach)
        outcome = problem.certify(g)
    else:
        outcome = problem.climb(None if initial is None else _carried_over(initial, sketch, cost))
    potentials = Potentials(
        g=outcome.g,
        sketch=sketch,
        cost=cost,
        epsilon=epsilon,
        reach=reach,
        mean_f=outcome.final.mean_f,
        certificate=Certificate(
            dual_value=outcome.final.value,
            primal_upper_bound=outcome.upper_bound,
            gap=outcome.upper_bound - outcome.final.value,
            marginal_error=outcome.final.error,
            tolerance=tolerance,
            converged=outcome.final.error <= tolerance,
            passes=outcome.passes,
            subsample_passes=outcome.subsample_passes,
            subsample_rows=0 if sample is prepared else sample.n_rows,
            seconds=time.perf_counter() - started,
            epsilon=epsilon,
            n_source=prepared.n_rows,
            n_target=len(points),
            solver=solver,
            cached=outcome.cached,
            dtype=dtype,
            device=str(where),
        ),
    )
    if not debias:
        return potentials
    from gotd_assets.transport.divergence import debiased

    return debiased(potentials, prepared, seed=seed)


@dataclasses.dataclass(frozen=True, eq=False)
class _Outcome:
    g: Tensor
    final: Evaluation
    upper_bound: float
    passes: int
    subsample_passes: int
    cached: bool


@dataclasses.dataclass(frozen=True, eq=False)
class _Problem:
    """One problem in the solver's own terms; `sample` is `source` itself when that is small."""

    source: PreparedSource
    sample: PreparedSource
    kernel: Kernel
    weights: Tensor
    epsilon: float
    rho: float | None
    block_rows: int
    cache_bytes: int
    tolerance: float
    max_passes: int
    mean_cost: float
    started: float
    progress: Callable[[Progress], None] | None

    def climb(self, g: Tensor | None) -> _Outcome:
        """Prepare on the sample (annealing unless `g` is a start), climb on the source, certify."""
        full = self._semidual(self.source, self.cache_bytes)
        whole = self.sample is self.source
        small = full if whole else self._semidual(self.sample, 2 * _SUBSAMPLE_BYTES)
        preconditioner = Preconditioner(small)
        subsample_passes = 0
        if g is None:
            start = torch.zeros(len(self.weights), dtype=torch.float64)
            g, subsample_passes = anneal(small, start, self.mean_cost / 2, self._report("annealing"))
        preconditioner.refresh(g)
        if not whole:
            rough = max(self.tolerance / 2, 1e-3)
            sampled = ascend(
                small, g, preconditioner, tolerance=rough, max_passes=self.max_passes, report=self._report("subsample")
            )
            g = sampled.g
            subsample_passes += sampled.passes
        ascent = self._ascend(full, g, preconditioner, self.max_passes)
        final, upper_bound = full.rounding(ascent.g, ascent.evaluation.column)
        passes = ascent.passes + 1
        if final.error > self.tolerance >= ascent.evaluation.error and passes < self.max_passes:
            # The cache's rounding hid an error that exact couplings show.
            exact = self._semidual(self.source, 0)
            ascent = self._ascend(exact, ascent.g, preconditioner, self.max_passes - passes)
            final, upper_bound = exact.rounding(ascent.g, ascent.evaluation.column)
            passes += ascent.passes + 1
        return _Outcome(
            ascent.g, final, upper_bound, passes, subsample_passes + preconditioner.passes, cached=full.caches
        )

    def certify(self, g: Tensor) -> _Outcome:
        """Certify a potential that came from elsewhere."""
        semidual = self._semidual(self.source, 0)
        final, upper_bound = semidual.rounding(g, semidual.evaluate(g).column)
        return _Outcome(g, final, upper_bound, passes=2, subsample_passes=0, cached=False)

    def _ascend(self, semidual: SemiDual, g: Tensor, preconditioner: Preconditioner, max_passes: int) -> Ascent:
        report = self._report("full pass")
        return ascend(semidual, g, preconditioner, tolerance=self.tolerance, max_passes=max_passes, report=report)

    def _semidual(self, measure: PreparedSource, cache_bytes: int) -> SemiDual:
        return SemiDual(
            measure,
            self.kernel,
            self.weights,
            self.epsilon,
            rho=self.rho,
            block_rows=self.block_rows,
            cache_bytes=cache_bytes,
        )

    def _report(self, stage: str) -> Callable[[Evaluation, int], None]:
        def report(evaluation: Evaluation, passes: int) -> None:
            if self.progress is not None:
                seconds = time.perf_counter() - self.started
                self.progress(Progress(stage, passes, evaluation.error, evaluation.value, seconds))

        return report


def solve_many(source: Shards, sketches: Sequence[Sketch], **arguments: Any) -> list[Potentials]:
    """Solve one source against several sketches; the source is checked once and read in common coordinates.

    `arguments` are those of `solve`.

    Raises:
        TransportError: as `solve`; also if no sketch is given.
    """
    if not sketches:
        raise TransportError("no sketches were given")
    prepared = prepare(
        source,
        dimension=sketches[0].points.shape[1],
        centre=torch.stack([sketch.centre for sketch in sketches]).mean(dim=0),
        weights=arguments.pop("source_weights", None),
        device=resolve_device(arguments.get("device", "auto")),
        dtype=torch.float64 if arguments.get("dtype") == "float64" else torch.float32,
    )
    return [solve(prepared, sketch, **arguments) for sketch in sketches]


def _check(epsilon: float, tolerance: float, max_passes: int, reach: float | None) -> None:
    for name, value in (("epsilon", epsilon), ("tolerance", tolerance), ("max_passes", max_passes), ("reach", reach)):
        if value is not None and not 0 < value < float("inf"):
            raise TransportError(f"{name} is {value}; it must be positive and finite")


def _block_rows(targets: int, dtype: torch.dtype, device: torch.device) -> int:
    size = 8 if dtype == torch.float64 else 4
    budget = _BLOCK_BYTES
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        budget = int(free * _CUDA_BLOCK_SHARE)
    return max(64, budget // (targets * size))


def _subsample(source: PreparedSource, targets: int, seed: int) -> PreparedSource:
    """Random rows of the source, in memory; the source itself if it is small enough."""
    size = max(2_000, min(_SUBSAMPLE_PER_TARGET * targets, _SUBSAMPLE_BYTES // (4 * targets)))
    if source.n_rows <= 2 * size:
        return source
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randperm(source.n_rows, generator=generator)[:size].sort().values
    weights = source.weights[indices]
    if float(weights.sum()) <= 0 or int((weights > 0).sum()) < targets:
        indices = torch.multinomial(source.weights, size, replacement=True, generator=generator).sort().values
        weights = torch.ones(size, dtype=torch.float64)
    rows = source.take(indices)
    origin = torch.zeros_like(source.centre)
    return PreparedSource([rows], weights / weights.sum(), source.max_norm, origin, source.device, source.dtype)


def _typical_costs(sample: PreparedSource, kernel: Kernel) -> tuple[float, float]:
    """Mean and median cost between (at most 2000) rows of the sample and the targets."""
    indices = torch.arange(0, sample.n_rows, max(1, sample.n_rows // 2000))
    rows = sample.take(indices)
    costs = kernel.source_part(rows)[:, None] - kernel.coupling(rows) + kernel.target_part().to(rows)
    return float(costs.double().mean().clamp_min(1e-12)), float(costs.flatten().median().clamp_min(1e-12))


def _carried_over(initial: Potentials, sketch: Sketch, cost: CostName) -> Tensor:
    """The potential of an earlier target at the points of a new one: that of the nearest earlier point."""
    if initial.cost != cost or initial.sketch.points.shape[1] != sketch.points.shape[1]:
        raise TransportError("the initial potentials were solved with another cost or dimension: start without them")
    nearest = torch.cdist(sketch.points, initial.sketch.points).argmin(dim=1)
    return initial.g[nearest].clone()
