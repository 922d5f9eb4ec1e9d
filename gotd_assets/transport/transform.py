"""The soft c-transform: the source potential at any point, from the target's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.arrays import as_tensor
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
    where, epsilon = problem.torch_device, problem.epsilon
    if points.ndim != 2 or points.shape[1] != sketch.points.shape[1]:
        raise TransportError(f"points have shape {tuple(points.shape)}, expected (n, {sketch.points.shape[1]})")
    dtype = torch.float64 if points.dtype in (torch.float64, "float64") else torch.float32
    centre = sketch.centre.to(where, dtype)
    kernel = Kernel(problem.cost, sketch.points.to(where, dtype) - centre)
    bias = ((g.to(where) - kernel.target_part()) / epsilon + sketch.weights.to(where).log()).to(dtype)
    rows_per_block = max(64, _BLOCK_ELEMENTS // len(g))
    parts = []
    for begin in range(0, len(points), rows_per_block):
        rows = as_tensor(points[begin : begin + rows_per_block], where, dtype) - centre
        exponent = kernel.coupling(rows).mul_(1 / epsilon).add_(bias)
        maximum = exponent.amax(dim=1, keepdim=True)
        kernel_sum = exponent.sub_(maximum).clamp_min_(-80.0).exp_().sum(dim=1)
        parts.append(kernel.source_part(rows).double() - epsilon * (maximum[:, 0].double() + kernel_sum.double().log()))
    f = torch.cat(parts).cpu() if parts else torch.empty(0, dtype=torch.float64)
    if bool(torch.isnan(f).any()):
        raise TransportError(f"point {int(torch.isnan(f).nonzero()[0, 0])} holds NaN: it cannot be scored")
    return f
