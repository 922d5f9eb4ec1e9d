"""The solver: from a source and a sketch to potentials with a certificate."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.ascent import Preconditioner, anneal, ascend
from gotd_assets.transport.kernel import CostName, Kernel
from gotd_assets.transport.potentials import Certificate, Potentials
from gotd_assets.transport.semidual import Evaluation, SemiDual
from gotd_assets.transport.sketch import Sketch
from gotd_assets.transport.source import PreparedSource, Shards, draw_rows, prepare, resolve_device

_SUBSAMPLE_BYTES = 256 * 2**20
_SUBSAMPLE_PER_TARGET = 20
_BLOCK_BYTES = 8 * 2**20
_CUDA_BLOCK_SHARE = 1 / 16
_Show: TypeAlias = Callable[[str], Callable[[Evaluation, int], None]]


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
    points, weights = sketch.points.to(where, torch.float64), sketch.weights
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
    rows = _block_rows(len(weights), precision, where)
    sample = _subsample(prepared, len(weights), seed)
    mean_cost, median_cost = _typical_costs(sample, kernel)
    epsilon *= {"absolute": 1.0, "mean": mean_cost, "median": median_cost}[epsilon_scale]
    rho = None if reach is None else (reach**2 if cost == "sqeuclidean" else reach)

    def oracle(measure: PreparedSource, cache_bytes: int) -> SemiDual:
        return SemiDual(measure, kernel, weights, epsilon, rho=rho, block_rows=rows, cache_bytes=cache_bytes)

    def show(stage: str) -> Callable[[Evaluation, int], None]:
        def report(evaluation: Evaluation, passes: int) -> None:
            if progress is not None:
                seconds = time.perf_counter() - started
                progress(Progress(stage, passes, evaluation.error, evaluation.value, seconds))

        return report

    full = oracle(prepared, memory_budget_bytes)
    subsample_passes = 0
    preconditioner = None
    if solver == "geomloss":
        from gotd_assets.transport.reference import geomloss_potential

        g, passes = geomloss_potential(prepared, kernel, weights, epsilon, reach)
        column = full.evaluate(g).column
    else:
        small = full if sample is prepared else oracle(sample, _SUBSAMPLE_BYTES * 2)
        preconditioner = Preconditioner(small)
        start = None if initial is None else _carried_over(initial, sketch, cost)
        if sample is prepared:
            g, subsample_passes = _first_guess(small, preconditioner, start, mean_cost, show)
        else:
            g, subsample_passes = _subsample_guess(
                small,
                preconditioner,
                start,
                mean_cost,
                show,
                tolerance=max(tolerance / 2, 1e-3),
                max_passes=max_passes,
            )
        ascent = ascend(full, g, preconditioner, tolerance=tolerance, max_passes=max_passes, report=show("full pass"))
        g, column, passes = ascent.g, ascent.evaluation.column, ascent.passes
        subsample_passes += preconditioner.passes
    final, upper_bound = full.rounding(g, column)
    passes += 1
    # A rounded cache can meet a tolerance that exact couplings do not.
    rounded = preconditioner is not None and full.caches and final.error > tolerance and passes < max_passes
    if preconditioner is not None and rounded and full.evaluate(g).error <= tolerance:
        exact = oracle(prepared, 0)
        ascent = ascend(
            exact, g, preconditioner, tolerance=tolerance, max_passes=max_passes - passes, report=show("exact pass")
        )
        g = ascent.g
        final, upper_bound = exact.rounding(g, ascent.evaluation.column)
        passes += ascent.passes + 1
    potentials = Potentials(
        g=g,
        sketch=sketch,
        cost=cost,
        epsilon=epsilon,
        reach=reach,
        mean_f=final.mean_f,
        certificate=Certificate(
            dual_value=final.value,
            primal_upper_bound=upper_bound,
            gap=upper_bound - final.value,
            marginal_error=final.error,
            tolerance=tolerance,
            converged=final.error <= tolerance,
            passes=passes,
            subsample_passes=subsample_passes,
            subsample_rows=0 if sample is prepared else sample.n_rows,
            seconds=time.perf_counter() - started,
            epsilon=epsilon,
            n_source=prepared.n_rows,
            n_target=len(weights),
            solver=solver,
            cached=full.caches,
            dtype=dtype,
            device=str(where),
        ),
    )
    if not debias:
        return potentials
    from gotd_assets.transport.divergence import debiased

    return debiased(potentials, prepared, seed=seed)


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


def _first_guess(
    oracle: SemiDual, preconditioner: Preconditioner, start: Tensor | None, mean_cost: float, show: _Show
) -> tuple[Tensor, int]:
    """Where an ascent begins, by annealing unless `start` is given; and the passes that took."""
    if start is None:
        return anneal(oracle, torch.zeros(len(oracle.b), dtype=torch.float64), mean_cost / 2, show("annealing"))
    preconditioner.refresh(start)
    return start, 0


def _subsample_guess(
    oracle: SemiDual,
    preconditioner: Preconditioner,
    start: Tensor | None,
    mean_cost: float,
    show: _Show,
    *,
    tolerance: float,
    max_passes: int,
) -> tuple[Tensor, int]:
    """The potential of the subsample alone, with its curvature in `preconditioner`; and the passes that took."""
    g, passes = _first_guess(oracle, preconditioner, start, mean_cost, show)
    if preconditioner.refreshes == 0:
        preconditioner.refresh(g)
    ascent = ascend(oracle, g, preconditioner, tolerance=tolerance, max_passes=max_passes, report=show("subsample"))
    if preconditioner.refreshes < 2:
        preconditioner.refresh(ascent.g)
    return ascent.g, passes + ascent.passes


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
    if bool((source.weights == source.weights[0]).all()):
        indices = torch.randperm(source.n_rows, generator=generator)[:size].sort().values
    else:
        indices = draw_rows(source.weights, size, generator)
    weights = torch.full((size,), 1.0 / size, dtype=torch.float64)
    rows = source.take(indices)
    origin = torch.zeros_like(source.centre)
    return PreparedSource([rows], weights, source.max_norm, origin, source.device, source.dtype)


def _typical_costs(sample: PreparedSource, kernel: Kernel) -> tuple[float, float]:
    """Mean and median cost between (at most 4000, evenly spaced) rows of the sample and the targets."""
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
