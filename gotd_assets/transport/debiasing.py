"""The self-potential of a measure, which debiases scores and values."""

from __future__ import annotations

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.problem import Problem
from gotd_assets.transport.sketch import Sketch, make_sketch
from gotd_assets.transport.source import PreparedSource
from gotd_assets.transport.transform import Transform
from gotd_assets.transport.weights import draw_rows

_LARGEST_SKETCH = 2000
_MOST_STEPS = 200
# Couplings of so many points with each other are kept between steps: 64 MB in float32.
_LARGEST_KEPT = 4000


def self_potential(sketch: Sketch, problem: Problem, *, leave_one_out: bool = False) -> tuple[Tensor, float]:
    """The symmetric potential of a measure with itself, (K,) float64, and OT_ε of the measure with itself.

    The averaged fixed point f ← ½(f + T f) of the soft c-transform T converges for every ε (Feydy et al. 2019,
    "Interpolating between optimal transport and MMD", §3.1).

    The potential of the law that the points were drawn from is another: f(x) = −ε log E exp((f(X) − C(x, X))/ε) over an X
    that is independent of x. A point of the sample is its own partner at no cost, which at an ε small beside the distance
    to its neighbours is most of its sum, and makes it look as if mass were plenty there. `leave_one_out` leaves that term
    out: of K points drawn independently, the other K−1 are a sample of the same law for each.

    Args:
        sketch: the measure, K weighted points.
        problem: cost, absolute epsilon, and the device.
        leave_one_out: no point is its own partner.

    Raises:
        TransportError: epsilon is relative: one measure has no cost to another.
    """
    if problem.epsilon_scale != "absolute":
        raise TransportError(
            f"epsilon_scale {problem.epsilon_scale!r} is of the costs between a source and a target, and a self-potential "
            "has one measure only: take the `problem` of solved potentials, whose epsilon is absolute"
        )
    transform = Transform(sketch, problem, leave_one_out=leave_one_out)
    f = torch.zeros(len(sketch.weights), dtype=torch.float64)
    kept = list(transform.blocks(sketch.points)) if len(f) <= _LARGEST_KEPT else None
    for _ in range(_MOST_STEPS):
        transformed = transform.of(kept or transform.blocks(sketch.points), f, keep=kept is not None)
        change = float((transformed - f).abs().max())
        f = 0.5 * (f + transformed)
        if change < 1e-4 * problem.epsilon:
            break
    return f, 2 * float(sketch.weights @ f)


def sketch_of_source(source: PreparedSource, problem: Problem, seed: int) -> Sketch:
    """The rows of `source` that have weight, or 2000 drawn by it if there are more."""
    generator = torch.Generator().manual_seed(seed)
    chosen = source.weights.nonzero()[:, 0]
    weights: Tensor | None = source.weights[chosen]
    if len(chosen) > _LARGEST_SKETCH:
        chosen, weights = draw_rows(source.weights, _LARGEST_SKETCH, generator), None
    points = (source.take(chosen).double() + source.centre.to(source.device)).float().cpu()
    return make_sketch(points, method="all", cost=problem.cost, weights=weights)
