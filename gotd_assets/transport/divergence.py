"""Transport values between measures, and the self-potential that debiases them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gotd_assets.transport.kernel import CostName
from gotd_assets.transport.potentials import Potentials, soft_c_transform
from gotd_assets.transport.sketch import Sketch, make_sketch
from gotd_assets.transport.solver import solve
from gotd_assets.transport.source import PreparedSource, Shards, draw_rows

_SELF_SKETCH_SIZE = 2000
_SELF_ITERATIONS = 200


def self_potential(sketch: Sketch, *, cost: CostName = "sqeuclidean", epsilon: float) -> tuple[Tensor, float]:
    """The symmetric potential of a measure with itself, (K,) float64, and OT_ε of the measure with itself.

    The averaged fixed point f ← ½(f + T f) of the soft c-transform T converges for every ε (Feydy et al. 2019,
    "Interpolating between optimal transport and MMD", §3.1).
    """
    f = torch.zeros(len(sketch.weights), dtype=torch.float64)
    for _ in range(_SELF_ITERATIONS):
        transformed = soft_c_transform(sketch.points, f, sketch, cost, epsilon)
        change = float((transformed - f).abs().max())
        f = 0.5 * (f + transformed)
        if change < 1e-4 * epsilon:
            break
    return f, 2 * float(sketch.weights @ f)


def debiased(potentials: Potentials, source: PreparedSource, *, seed: int = 0) -> Potentials:
    """`potentials` with the self-potential of their source, solved on a random sketch of it."""
    generator = torch.Generator().manual_seed(seed)
    chosen = source.weights.nonzero()[:, 0]
    weights: Tensor | None = source.weights[chosen]
    if len(chosen) > _SELF_SKETCH_SIZE:
        chosen, weights = draw_rows(source.weights, _SELF_SKETCH_SIZE, generator), None
    points = (source.take(chosen).double() + source.centre.to(source.device)).float().cpu()
    sketch = make_sketch(points, method="all", cost=potentials.cost, weights=weights)
    f, _ = self_potential(sketch, cost=potentials.cost, epsilon=potentials.epsilon)
    bare = dataclasses.replace(potentials, self_sketch=sketch, self_g=f, mean_f=0.0)
    total = torch.zeros((), dtype=torch.float64)
    for block in source.blocks(16384):
        rows = block.points.double() + source.centre.to(source.device)
        total += block.weights @ bare.soft_c_transform(rows.float())
    return dataclasses.replace(bare, mean_f=float(total))


def ot_value(
    source: Shards,
    sketch: Sketch,
    *,
    source_weights: Tensor | np.ndarray[Any, Any] | None = None,
    epsilon: float = 0.05,
    **arguments: Any,
) -> float:
    """OT_ε between source and sketch: the dual value of a solve. Arguments as in `solve`."""
    solved = solve(source, sketch, source_weights=source_weights, epsilon=epsilon, **arguments)
    return solved.certificate.dual_value


def sinkhorn_divergence(left: Sketch, right: Sketch, *, cost: CostName = "sqeuclidean", epsilon: float) -> float:
    """S_ε = OT_ε(α,β) − ½OT_ε(α,α) − ½OT_ε(β,β) between two small measures; zero if and only if they are equal."""
    cross = solve(
        left.points, right, source_weights=left.weights, cost=cost, epsilon=epsilon, tolerance=1e-4
    ).certificate.dual_value
    _, left_self = self_potential(left, cost=cost, epsilon=epsilon)
    _, right_self = self_potential(right, cost=cost, epsilon=epsilon)
    return cross - 0.5 * left_self - 0.5 * right_self
