"""The solver: the passes that take a target potential to its optimum, and what they prove."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from gotd_assets.transport.annealing import anneal
from gotd_assets.transport.ascent import Goal, Stopped, always, ascend
from gotd_assets.transport.instance import Instance
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.preconditioner import Preconditioner
from gotd_assets.transport.prediction import Prediction
from gotd_assets.transport.problem import Problem
from gotd_assets.transport.products import Products, product_precision
from gotd_assets.transport.semidual import Evaluation
from gotd_assets.transport.sketch import Sketch
from gotd_assets.transport.source import PreparedSource
from gotd_assets.transport.warm_start import Earlier, Start, carried_over
from gotd_assets.transport.workers import Workers

_SUBSAMPLE_BYTES = 256 * 2**20
_SUBSAMPLE_PER_TARGET = 24
_SUBSAMPLE_TOLERANCE = 1e-2
_COMPARED_ROWS = 2000
_WIDER_PER_TARGET = 12
_LARGEST_WIDER_SHARE = 1 / 4  # of the source
_FAR = 50.0  # in units of ε, between the optima of the subsample and of the source
_PLAIN, _PLAIN_SMALL = 2, 8  # passes by a quadratic model before one of entries: over all rows, over a subsample

Report: TypeAlias = Callable[[str, Evaluation, int], None]
"""Is told the stage, the evaluation of its last pass, and how many passes it took so far."""


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


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """What the passes came to.

    Attributes:
        g: (M,) float64, the target potential.
        final: the evaluation there, of exact couplings.
        upper_bound: on the optimum.
        epsilon: absolute.
        product_error: the largest error of a reduced coupling found, in units of ε.
        passes: over the whole source.
        subsample_passes: over a subsample, or as much work.
        subsample_rows: rows of the subsample; 0 if there was none.
        cached: whether couplings were kept between passes.
        prediction: what is still to come, or None if it was not looked at.
        stopped: why it ended.
        rounding: of a coupling in the working precision, in units of ε.
    """

    g: Tensor
    final: Evaluation
    upper_bound: float
    epsilon: float
    product_error: float
    passes: int
    subsample_passes: int
    subsample_rows: int
    cached: bool
    prediction: Prediction | None
    stopped: Stopped
    rounding: float


def optimum(
    source: PreparedSource,
    sketch: Sketch,
    problem: Problem,
    *,
    earlier: Earlier | None,
    seed: int,
    report: Report,
    workers: Workers,
    passes: Workers | None = None,
) -> Solution:
    """Solve `problem` between `source`, prepared for it, and `sketch`.

    Args:
        source: all of it.
        sketch: finite points of the same dimension.
        problem: whose solver begins at `earlier` if it is 'semidual'.
        earlier: what was found for a similar target.
        seed: of the subsample.
        report: is told every pass.
        workers: threads of this solve.
        passes: who makes the passes over the whole source, if others.

    Raises:
        TransportError: `earlier` is of another cost or dimension.
    """
    points = sketch.points.to(source.device, torch.float64)
    kernel = Kernel(problem.cost, (points - source.centre.to(source.device)).to(source.dtype))
    sample, rows = _subsample(source, len(sketch.weights), seed)
    mean_cost, median_cost = _typical_costs(sample, kernel, sketch.weights, median=problem.epsilon_scale == "median")
    epsilon = problem.epsilon * {"absolute": 1.0, "mean": mean_cost, "median": median_cost}[problem.epsilon_scale]
    instance = Instance(source, sample, rows, kernel, sketch.weights, epsilon, problem.rho, mean_cost, workers, passes)
    if problem.solver == "geomloss":
        return _by_geomloss(instance, problem)
    start = Start.cold(instance) if earlier is None else carried_over(earlier, sketch, instance)
    return _climb(instance, start, problem, seed=seed, report=report)


def _by_geomloss(instance: Instance, problem: Problem) -> Solution:
    """The potential that geomloss finds, certified by one pass."""
    from gotd_assets.transport.reference import geomloss_potential

    g = geomloss_potential(instance.source, instance.kernel, instance.weights, instance.epsilon, problem.reach)
    full = instance.oracle(instance.source, 0)
    final = full.evaluate(g)
    return Solution(
        g,
        final,
        full.upper_bound(g, final),
        instance.epsilon,
        _product_error(instance, problem.products),
        passes=1,
        subsample_passes=0,
        subsample_rows=0,
        cached=False,
        prediction=None,
        stopped="converged" if final.error <= problem.tolerance else "passes",
        rounding=_rounding(instance),
    )


def _climb(instance: Instance, start: Start, problem: Problem, *, seed: int, report: Report) -> Solution:
    """Solve on a subsample, then on the whole source, whose last pass certifies."""
    tolerance, max_passes = problem.tolerance, problem.max_passes
    full = instance.oracle(instance.source, problem.memory_bytes, products=problem.products)
    whole = start.sample is instance.source
    small = full if whole else instance.oracle(start.sample, _SUBSAMPLE_BYTES * 2, start.marginal)
    preconditioner = Preconditioner(small)
    g, small_passes = start.g, start.passes
    if start.epsilon is not None:
        g, annealing_passes = anneal(small, g, start.epsilon, functools.partial(report, "annealing"))
        small_passes += annealing_passes
    plain, far = _PLAIN, always
    if not whole:
        # The subsample's own noise is larger still where few rows make up a target's mass; a warm start's has less.
        cold, sample_share = start.epsilon is not None, start.sample.n_rows / instance.source.n_rows
        enough = Goal(max(tolerance, _SUBSAMPLE_TOLERANCE) if cold else max(tolerance / 2, 1e-3))
        told = functools.partial(report, "subsample")
        ascent = ascend(
            small,
            g,
            preconditioner,
            goal=enough,
            max_passes=max_passes,
            plain=_PLAIN_SMALL if cold else _PLAIN,
            report=told,
        )
        g, small_passes = ascent.g, small_passes + ascent.passes
        if cold or ascent.is_hard:
            hard = ascent.is_hard
            plain, far = 0, functools.cache(lambda: hard or preconditioner.sampling_error(1 - sample_share) > _FAR)
        wider = _wider_subsample(instance, seed) if cold else None
        if wider is not None:
            more = instance.oracle(wider, 0)
            told = functools.partial(report, "wider subsample")
            ascent = ascend(
                more, g, Preconditioner(more), goal=enough, max_passes=max_passes, plain=plain, far=far, report=told
            )
            g, small_passes = ascent.g, small_passes + ascent.passes * round(wider.n_rows / start.sample.n_rows)
    goal = Goal(tolerance, problem.overlap, problem.score_error * instance.epsilon, problem.top_share)
    told = functools.partial(report, "full pass")
    ascent = ascend(full, g, preconditioner, goal=goal, max_passes=max_passes, plain=plain, far=far, report=told)
    return Solution(
        ascent.g,
        ascent.evaluation,
        full.upper_bound(ascent.g, ascent.evaluation),
        instance.epsilon,
        _product_error(instance, problem.products),
        passes=ascent.passes,
        subsample_passes=small_passes + preconditioner.passes,
        subsample_rows=0 if whole else start.sample.n_rows,
        cached=full.keeping.cached,
        prediction=ascent.prediction,
        stopped=ascent.stopped,
        rounding=_rounding(instance),
    )


def _subsample(source: PreparedSource, targets: int, seed: int) -> tuple[PreparedSource, Tensor]:
    """Random rows of the source, in memory, and which; the source itself if it is small enough."""
    size = max(2_000, min(_SUBSAMPLE_PER_TARGET * targets, _SUBSAMPLE_BYTES // (4 * targets)))
    if source.n_rows <= 2 * size:
        return source, torch.arange(source.n_rows)
    indices, sample = source.sampled(size, seed)
    return sample, indices


def _wider_subsample(instance: Instance, seed: int) -> PreparedSource | None:
    """More random rows where the subsample has few to a target; None if it has enough or they are too many.

    The solution on few rows errs by their noise; passes over more cost a fraction of the full one that they save.
    """
    source, targets = instance.source, len(instance.weights)
    size = min(_WIDER_PER_TARGET * targets, _SUBSAMPLE_BYTES // (4 * instance.kernel.targets.shape[1]))
    if not 2 * instance.sample.n_rows <= size <= _LARGEST_WIDER_SHARE * source.n_rows:
        return None
    return source.sampled(size, seed + 1)[1]


def _product_error(instance: Instance, products: Products) -> float:
    """The largest error of a coupling between (at most 4000, evenly spaced) rows of the sample and the targets, in ε."""
    if products == "float32":
        return 0.0
    sample, kernel = instance.sample, instance.kernel
    rows = sample.take(torch.arange(0, sample.n_rows, max(1, sample.n_rows // 2000)))
    with product_precision("float32", sample.device):
        exact = kernel.coupling(rows)
    with product_precision(products, sample.device):
        return float((kernel.coupling(rows) - exact).abs().max()) / instance.epsilon


def _rounding(instance: Instance) -> float:
    """How far a coupling may be off by the working precision alone, in units of ε."""
    largest = max(abs(bound) for bound in instance.kernel.bound(instance.source.max_norm))
    return largest * torch.finfo(instance.source.dtype).eps / 2 / instance.epsilon


def _typical_costs(
    sample: PreparedSource, kernel: Kernel, target_weights: Tensor, *, median: bool
) -> tuple[float, float]:
    """Mean and `median` cost between (at most 2000, drawn by weight) rows of the sample and the targets, by their weights.

    The median takes sorting, which only who asks for it pays.
    """
    few = sample if sample.n_rows <= _COMPARED_ROWS else sample.part(sample.draw(_COMPARED_ROWS, 0))
    rows = few.take(torch.arange(few.n_rows))
    costs = kernel.source_part(rows)[:, None] - kernel.coupling(rows) + kernel.target_part().to(rows)
    costs = costs.double().cpu().clamp_min_(0.0)
    mean = float((few.weights @ costs @ target_weights).clamp_min(1e-300))
    if not median:
        return mean, math.nan
    mass = torch.outer(few.weights, target_weights).flatten()
    ordered, order = costs.flatten().sort()
    cumulative = mass[order].cumsum(0)
    middle = ordered[min(int(torch.searchsorted(cumulative, cumulative[-1] / 2)), len(ordered) - 1)]
    return mean, float(middle.clamp_min(1e-300))
