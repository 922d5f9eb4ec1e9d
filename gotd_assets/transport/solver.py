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
from gotd_assets.transport.problem import Problem
from gotd_assets.transport.products import Products, product_precision
from gotd_assets.transport.semidual import Evaluation
from gotd_assets.transport.sketch import Sketch
from gotd_assets.transport.source import PreparedSource, Shards, draw_rows, prepare, resolve_device
from gotd_assets.transport.warm_start import Start, carried_over
from gotd_assets.transport.workers import Workers

_SUBSAMPLE_BYTES = 256 * 2**20
_SUBSAMPLE_PER_TARGET = 24
_SHARP_SUBSAMPLE_TOLERANCE = 2e-2
_WIDER_PER_TARGET = 12
_LARGEST_WIDER_SHARE = 1 / 4  # of the source
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
    products: Products = "float32",
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
        products: of the couplings' matrix products with dtype float32: 'float32', or 'reduced' for TF32 on CUDA and
            bfloat16 on processors that have it. Only the passes before the last go by them: the certificate is of
            float32 products, and says how large the error of the others is. It can help where couplings are not cached.
        initial: potentials of an earlier solve for a similar target, to start from: points that stayed keep their
            g, new ones get the one at which they draw their weight (`transport/warm_start.py`).
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
    if products not in ("float32", "reduced") or (products == "reduced" and dtype == "float64"):
        raise TransportError(f"products {products!r} with dtype {dtype!r}: use 'float32', or 'reduced' with float32")
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
    sample, rows = _subsample(prepared, len(weights), seed)
    mean_cost, median_cost = _typical_costs(sample, kernel)
    epsilon *= {"absolute": 1.0, "mean": mean_cost, "median": median_cost}[epsilon_scale]

    def show(stage: str) -> Callable[[Evaluation, int], None]:
        def report(evaluation: Evaluation, passes: int) -> None:
            if progress is not None:
                seconds = time.perf_counter() - started
                progress(Progress(stage, passes, evaluation.error, evaluation.value, seconds))

        return report

    with Workers(where) as workers:
        problem = Problem(prepared, sample, rows, kernel, weights, epsilon, _rho(reach, cost), mean_cost, workers)
        if solver == "geomloss":
            from gotd_assets.transport.reference import geomloss_potential

            g = geomloss_potential(prepared, kernel, weights, epsilon, reach)
            full = problem.oracle(prepared, 0)
            final = full.evaluate(g)
            solution = _Solution(g, final, full.upper_bound(g, final), 1, 0, cached=False, subsample_rows=0)
        else:
            start = Start.cold(problem) if initial is None else carried_over(initial, sketch, problem)
            solution = _climb(
                problem,
                start,
                seed=seed,
                tolerance=tolerance,
                max_passes=max_passes,
                memory=memory_budget_bytes,
                products=products,
                show=show,
            )
    potentials = Potentials(
        g=solution.g,
        sketch=sketch,
        cost=cost,
        epsilon=epsilon,
        reach=reach,
        mean_f=solution.final.mean_f,
        certificate=Certificate(
            dual_value=solution.final.value,
            primal_upper_bound=solution.upper_bound,
            gap=solution.upper_bound - solution.final.value,
            marginal_error=solution.final.error,
            tolerance=tolerance,
            converged=solution.final.error <= tolerance,
            passes=solution.passes,
            subsample_passes=solution.subsample_passes,
            subsample_rows=solution.subsample_rows,
            seconds=time.perf_counter() - started,
            epsilon=epsilon,
            n_source=prepared.n_rows,
            n_target=len(weights),
            solver=solver,
            cached=solution.cached,
            dtype=dtype,
            device=str(where),
            products=products,
            product_error=_product_error(sample, kernel, products) / epsilon,
        ),
        f=solution.final.f.cpu(),
        column=solution.final.column,
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


@dataclasses.dataclass(frozen=True, eq=False)
class _Solution:
    g: Tensor
    final: Evaluation
    upper_bound: float
    passes: int
    subsample_passes: int
    cached: bool
    subsample_rows: int


def _climb(
    problem: Problem,
    start: Start,
    *,
    seed: int,
    tolerance: float,
    max_passes: int,
    memory: int,
    products: Products,
    show: _Show,
) -> _Solution:
    """Solve on a subsample, then on the whole source, whose last pass certifies."""
    full = problem.oracle(problem.source, memory, products=products)
    whole = start.sample is problem.source
    small = full if whole else problem.oracle(start.sample, _SUBSAMPLE_BYTES * 2, start.marginal)
    preconditioner = Preconditioner(small)
    g, small_passes = start.g, start.passes
    if start.epsilon is not None:
        g, annealing_passes = anneal(small, g, start.epsilon, show("annealing"))
        small_passes += annealing_passes
    if not whole:
        first = preconditioner.evaluate(small, g)
        small_passes += 1
        if not preconditioner.sharp:
            preconditioner.refresh(g)
        # The subsample's own noise is larger still where few rows make up a target's mass; a warm start's has less.
        noisy = preconditioner.sharp and start.epsilon is not None
        enough = max(tolerance, _SHARP_SUBSAMPLE_TOLERANCE) if noisy else max(tolerance / 2, 1e-3)
        ascent = ascend(
            small,
            g,
            preconditioner,
            tolerance=enough,
            max_passes=max_passes,
            report=show("subsample"),
            known=first,
        )
        g, small_passes = ascent.g, small_passes + ascent.passes
        wider = _wider_subsample(problem, seed) if noisy else None
        if wider is not None:
            more = problem.oracle(wider, 0)
            ascent = ascend(
                more,
                g,
                Preconditioner(more),
                tolerance=enough,
                max_passes=max_passes,
                report=show("wider subsample"),
            )
            g, small_passes = ascent.g, small_passes + ascent.passes * round(wider.n_rows / start.sample.n_rows)
    ascent = ascend(full, g, preconditioner, tolerance=tolerance, max_passes=max_passes, report=show("full pass"))
    return _Solution(
        ascent.g,
        ascent.evaluation,
        full.upper_bound(ascent.g, ascent.evaluation),
        ascent.passes,
        small_passes + preconditioner.passes,
        full.couplings.cached,
        0 if whole else start.sample.n_rows,
    )


def _rho(reach: float | None, cost: CostName) -> float | None:
    """The weight of the relaxed marginal's divergence, in units of the cost, as geomloss derives it from `reach`."""
    return None if reach is None else (reach**2 if cost == "sqeuclidean" else reach)


def _check(epsilon: float, tolerance: float, max_passes: int, reach: float | None) -> None:
    for name, value in (("epsilon", epsilon), ("tolerance", tolerance), ("max_passes", max_passes), ("reach", reach)):
        if value is not None and not 0 < value < float("inf"):
            raise TransportError(f"{name} is {value}; it must be positive and finite")


def _subsample(source: PreparedSource, targets: int, seed: int) -> tuple[PreparedSource, Tensor]:
    """Random rows of the source, in memory, and which; the source itself if it is small enough."""
    size = max(2_000, min(_SUBSAMPLE_PER_TARGET * targets, _SUBSAMPLE_BYTES // (4 * targets)))
    if source.n_rows <= 2 * size:
        return source, torch.arange(source.n_rows)
    indices = _random_rows(source, size, seed)
    return source.part(indices), indices


def _wider_subsample(problem: Problem, seed: int) -> PreparedSource | None:
    """More random rows where the subsample has few to a target; None if it has enough or they are too many.

    The solution on few rows errs by their noise; passes over more cost a fraction of the full one that they save.
    """
    source, targets = problem.source, len(problem.weights)
    size = min(_WIDER_PER_TARGET * targets, _SUBSAMPLE_BYTES // (4 * problem.kernel.targets.shape[1]))
    if not 2 * problem.sample.n_rows <= size <= _LARGEST_WIDER_SHARE * source.n_rows:
        return None
    return source.part(_random_rows(source, size, seed + 1))


def _random_rows(source: PreparedSource, size: int, seed: int) -> Tensor:
    """Indices (size,), ascending, of rows drawn by weight."""
    generator = torch.Generator().manual_seed(seed)
    if bool((source.weights == source.weights[0]).all()):
        return torch.randperm(source.n_rows, generator=generator)[:size].sort().values
    return draw_rows(source.weights, size, generator)


def _product_error(sample: PreparedSource, kernel: Kernel, products: Products) -> float:
    """The largest error of a coupling between (at most 4000, evenly spaced) rows of the sample and the targets."""
    if products == "float32":
        return 0.0
    rows = sample.take(torch.arange(0, sample.n_rows, max(1, sample.n_rows // 2000)))
    with product_precision("float32", sample.device):
        exact = kernel.coupling(rows)
    with product_precision(products, sample.device):
        return float((kernel.coupling(rows) - exact).abs().max())


def _typical_costs(sample: PreparedSource, kernel: Kernel) -> tuple[float, float]:
    """Mean and median cost between (at most 4000, evenly spaced) rows of the sample and the targets."""
    indices = torch.arange(0, sample.n_rows, max(1, sample.n_rows // 2000))
    rows = sample.take(indices)
    costs = kernel.source_part(rows)[:, None] - kernel.coupling(rows) + kernel.target_part().to(rows)
    return float(costs.double().mean().clamp_min(1e-12)), float(costs.flatten().median().clamp_min(1e-12))
