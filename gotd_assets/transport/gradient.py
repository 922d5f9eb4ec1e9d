"""The value of a solve as a function of points and weights that can be differentiated.

At the optimum the potentials do not count (envelope theorem; Feydy et al. 2019, "Interpolating between optimal transport and
MMD", §3.2): with the plan P and C the cost, ∂/∂x_i = Σ_j P_ij ∇₁C(x_i, y_j), ∂/∂y_j = Σ_i P_ij ∇₂C(x_i, y_j), ∂/∂a_i = f_i and
∂/∂b_j = g_j, the last two but for a constant that a sum of weights of 1 leaves free.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gotd_assets.transport.potentials import Potentials

_BLOCK_ELEMENTS = 2_000_000
_LEAST_DISTANCE = 1e-30


class OptimalValue(torch.autograd.Function):
    """OT_ε in float64, from potentials that were found without a graph; gradients of first order."""

    @staticmethod
    def forward(ctx: Any, found: tuple[Potentials, Tensor], *inputs: Tensor | None) -> Tensor:
        """`inputs` are x (N, D), y (M, D), a (N,) and b (M,) as given; `found` are potentials, and the shares (N,) float64 of a."""
        ctx.save_for_backward(*inputs)
        ctx.solved, ctx.shares = found
        return torch.tensor(ctx.solved.certificate.dual_value, dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """One pass over x."""
        x, y, a, b = ctx.saved_tensors
        by_x, by_y = point_gradients(x, y, ctx.solved, ctx.shares, of_x=ctx.needs_input_grad[1])
        by_a = by_b = None
        if ctx.needs_input_grad[3]:
            by_a = _of_shares(ctx.solved.soft_c_transform(x), ctx.shares, a)
        if ctx.needs_input_grad[4]:
            by_b = _of_shares(_target_weight_gradient(x, y, ctx.solved, ctx.shares), ctx.solved.sketch.weights, b)
        gradients = zip((by_x, by_y, by_a, by_b), (x, y, a, b), strict=True)
        return None, *(None if g is None else (g.to(given) * grad.to(given)) for g, given in gradients)


def _of_shares(gradient: Tensor, shares: Tensor, given: Tensor) -> Tensor:
    """By weights of any sum, of what `gradient` (n,) is by their `shares` (n,)."""
    return (gradient - shares @ gradient) / given.detach().double().cpu().sum()


def point_gradients(
    x: Tensor, y: Tensor, solved: Potentials, shares: Tensor, *, of_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients by the rows of `x` (N, D), if they are wanted, and of `y` (M, D), float64 on the CPU; in blocks of rows."""
    targets, is_squared = y.detach().double().cpu(), solved.problem.cost == "sqeuclidean"
    by_x = torch.empty(x.shape, dtype=torch.float64) if of_x else None
    by_y, begin = torch.zeros_like(targets), 0
    for share in solved.plan_rows(x.detach()):
        place = slice(begin, begin + len(share))
        begin = place.stop
        rows = x.detach()[place].double().cpu()
        plan = share.cpu() * shares[place, None]
        if not is_squared:
            plan = plan / torch.cdist(rows, targets).clamp_min_(_LEAST_DISTANCE)
        if by_x is not None:
            by_x[place] = plan.sum(1)[:, None] * rows - plan @ targets
        by_y += plan.sum(0)[:, None] * targets - plan.T @ rows
    return by_x, by_y


def _target_weight_gradient(x: Tensor, y: Tensor, solved: Potentials, shares: Tensor) -> Tensor:
    """By the target's shares b (M,): g, or with `reach` what the divergence adds."""
    g = solved.g.clone()
    unused = solved.sketch.weights <= 0
    if bool(unused.any()):
        g[unused] = _transform_of_source(x, y[unused], solved, shares)
    rho = solved.problem.rho
    if rho is None:
        return g
    return -solved.problem.epsilon * torch.exp(-g / rho) - rho * torch.expm1(-g / rho)


def _transform_of_source(x: Tensor, points: Tensor, solved: Potentials, shares: Tensor) -> Tensor:
    """−ε log Σ_i a_i exp((f_i − C(x_i, y))/ε) at `points` (m, D): what g is where the target has no weight."""
    f, epsilon = solved.soft_c_transform(x.detach()), solved.problem.epsilon
    targets = points.detach().double().cpu()
    found = torch.full((len(targets),), -torch.inf, dtype=torch.float64)
    for begin in range(0, len(x), max(64, _BLOCK_ELEMENTS // len(targets))):
        place = slice(begin, begin + max(64, _BLOCK_ELEMENTS // len(targets)))
        cost = torch.cdist(x.detach()[place].double().cpu(), targets)
        cost = cost.square_().mul_(0.5) if solved.problem.cost == "sqeuclidean" else cost
        exponent = shares[place].log()[:, None] + (f[place, None] - cost) / epsilon
        found = torch.logaddexp(found, exponent.logsumexp(0))
    g = -epsilon * found
    rho = solved.problem.rho
    return g if rho is None else g * (rho / (rho + epsilon))
