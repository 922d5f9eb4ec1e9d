"""The soft c-transform: the source potential at any point, from the target's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.arrays import as_shard, as_tensor
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.problem import Problem
from gotd_assets.transport.sketch import Sketch

_BLOCK_ELEMENTS = 4_000_000


def soft_c_transform(points: Any, g: Tensor, sketch: Sketch, problem: Problem) -> Tensor:
    """f(x) = −ε log Σ_j b_j exp((g_j − C(x, y_j))/ε) at `points` (n, D); (n,) float64 on the CPU.

    Computed on the problem's device, in float64 for float64 points, else in float32.

    Args:
        points: tensor or array (n, D) of any floating dtype.
        g: (M,) float64, a potential on the sketch.
        sketch: y and b.
        problem: C, absolute ε, and the device.

    Raises:
        TransportError: `points` have another dimension than the sketch, or hold NaN.
    """
    epsilon, parts = problem.epsilon, []
    for exponent, rows in _exponents(points, g, sketch, problem):
        maximum = exponent.amax(dim=1, keepdim=True)
        kernel_sum = exponent.sub_(maximum).clamp_min(-80.0).exp_().sum(dim=1)
        parts.append(rows - epsilon * (maximum[:, 0].double() + kernel_sum.double().log()))
    f = torch.cat(parts).cpu() if parts else torch.empty(0, dtype=torch.float64)
    if bool(torch.isnan(f).any()):
        raise TransportError(f"point {int(torch.isnan(f).nonzero()[0, 0])} holds NaN: it cannot be scored")
    return f


def plan_rows(points: Any, g: Tensor, sketch: Sketch, problem: Problem) -> Iterator[Tensor]:
    """The plan's rows at `points` (n, D), of mass 1 each: blocks (k, M) float64 on the problem's device, in order.

    Raises:
        TransportError: `points` have another dimension than the sketch, or hold NaN.
    """
    begin = 0
    for exponent, _ in _exponents(points, g, sketch, problem):
        bad = torch.isnan(exponent).any(dim=1)
        if bool(bad.any()):
            raise TransportError(f"point {begin + int(bad.nonzero()[0, 0])} holds NaN: nothing draws it")
        begin += len(exponent)
        yield torch.softmax(exponent.double(), dim=1)


def _exponents(points: Any, g: Tensor, sketch: Sketch, problem: Problem) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks of (g_j − c_j + z_ij)/ε + log b_j (k, M) and of r_i (k,) float64: what a row of the plan is made of."""
    where, epsilon, points = problem.torch_device, problem.epsilon, as_shard(points)
    if points.ndim != 2 or points.shape[1] != sketch.points.shape[1]:
        raise TransportError(f"points have shape {tuple(points.shape)}, expected (n, {sketch.points.shape[1]})")
    dtype = torch.float64 if points.dtype in (torch.float64, "float64") else torch.float32
    # Rounded once, so that what is subtracted of both sides is the same.
    centre = sketch.centre.to(where, dtype)
    kernel = Kernel(problem.cost, (sketch.points.to(where, torch.float64) - centre.double()).to(dtype))
    bias = ((g.to(where) - kernel.target_part()) / epsilon + sketch.weights.to(where).log()).to(dtype)
    rows_per_block = max(64, _BLOCK_ELEMENTS // len(g))
    for begin in range(0, len(points), rows_per_block):
        rows = as_tensor(points[begin : begin + rows_per_block], where, dtype) - centre
        yield kernel.coupling(rows).mul_(1 / epsilon).add_(bias), kernel.source_part(rows).double()
