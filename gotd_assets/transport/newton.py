"""The optimum of a model of the semi-dual, by Newton's method, and what it foretells of the optimum itself."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gotd_assets.transport.model import Model

_Floats = npt.NDArray[np.float64]
_MOST_STEPS = 25
_MOST_TRIALS = 6
_MOST_SHORTENED = 3
_LEAST_DAMPING, _MOST_DAMPING = 1e-12, 1e6
_LONGEST_RISE = 20.0  # of a column's logarithm, in one of Sinkhorn's steps
_EIGENVECTOR_STEPS = 12
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Move:
    """Where a model has its optimum, or the best found within a radius.

    Attributes:
        delta: (M,) float64, from g, in units of ε.
        gain: of H, in units of ε.
        left: the marginal error left in the model.
        length: largest |δ_j|.
    """

    delta: _Floats
    gain: float
    left: float
    length: float


def best_move(model: Model, *, radius: float, enough: float) -> Move:
    """Climb the model from δ = 0 until its marginal error is at most `enough`, with |δ_j| ≤ `radius`.

    Each step is one of Sinkhorn's, which is exact for targets that are hardly served, and one of Newton's for the rest.
    """
    used = model.target > 0
    delta = np.zeros(model.size)
    start, column = model.value(delta)
    value, damping = start, 1e-8
    for _ in range(_MOST_STEPS):
        risen = _confined(delta + _sinkhorn(model, delta, column, used), radius, model.relaxed)
        risen_value, risen_column = model.value(risen)
        if risen_value > value - _ROUNDING:
            delta, value, column = risen, risen_value, risen_column
        gradient = model.wanted(delta) - column
        if float(np.abs(gradient).sum()) <= enough:
            break
        step, damping = _newton(model, model.curvature(delta, column), damping, (delta, value, column), radius)
        if step is None:
            break
        delta, value, column = step
        if float(np.abs(model.wanted(delta) - column).sum()) <= enough:
            break
    left = float(np.abs(model.wanted(delta) - column).sum())
    return Move(delta, value - start, left, float(np.abs(delta[used]).max(initial=0.0)))


def _sinkhorn(model: Model, delta: _Floats, column: _Floats, used: npt.NDArray[np.bool_]) -> _Floats:
    """The step of Sinkhorn's algorithm, which never lowers the value."""
    risen = np.log(np.where(used, model.wanted(delta), 1.0)) - np.log(np.where(used, np.maximum(column, 1e-300), 1.0))
    ratio: _Floats = np.clip(risen, -_LONGEST_RISE, _LONGEST_RISE)
    return ratio if model.relaxed is None else ratio / (1 + model.relaxed)


def _confined(delta: _Floats, radius: float, relaxed: float | None) -> _Floats:
    """Within the radius; a common shift, which changes nothing of a balanced problem, does not count."""
    if relaxed is None:
        delta = delta - (delta.max() + delta.min()) / 2
    return np.clip(delta, -radius, radius)


def _newton(
    model: Model,
    curvature: Tensor,
    damping: float,
    now: tuple[_Floats, float, _Floats],
    radius: float,
) -> tuple[tuple[_Floats, float, _Floats] | None, float]:
    """A step that raises the value, damped as much as that takes, and the damping to go on with; None if none was found."""
    delta, value, column = now
    missing = model.wanted(delta) - column
    error = np.abs(missing).sum()
    gradient = torch.from_numpy(missing).to(curvature.dtype)
    scale = torch.from_numpy(column + model.target).to(curvature.dtype)
    for _ in range(_MOST_TRIALS):
        factor, damping = factorised(curvature, scale, damping)
        step = torch.cholesky_solve(gradient[:, None], factor)[:, 0].double().numpy()
        if model.relaxed is None:
            step = step - model.target @ step
        step = np.where(model.target > 0, step, 0.0)
        length = 1.0
        for _ in range(_MOST_SHORTENED):
            moved = _confined(delta + length * step, radius, model.relaxed)
            found, at = model.value(moved)
            # Near the optimum the value's rounding exceeds the gain; the gradient then tells more.
            closer = abs(found - value) < _ROUNDING and np.abs(model.wanted(moved) - at).sum() < 0.5 * error
            if found > value + _ROUNDING or closer:
                return (moved, found, at), max(damping / 10, _LEAST_DAMPING) if length == 1.0 else damping * 3
            length /= 4
        damping = damping * 30
        if damping > _MOST_DAMPING:
            break
    return None, damping


def factorised(curvature: Tensor, scale: Tensor, damping: float) -> tuple[Tensor, float]:
    """The Cholesky factor of `curvature` (M, M) with `damping` times `scale` (M,) added, or more if that is not enough."""
    least = 1e-14 if curvature.dtype == torch.float64 else 1e-7
    damping = max(damping, least)
    floor = scale.clamp_min(1e-9 * float(scale.max()))
    while True:
        damped = curvature.clone()
        damped.diagonal().add_(floor, alpha=damping)
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(damped)
        if int(info) == 0:
            return factor, damping
        damping *= 10


def second_eigenvalue(curvature: Tensor, column: Tensor) -> float:
    """The smallest eigenvalue but one of diag(c)^−½ H diag(c)^−½, by inverse iteration: 0 if nothing joins two groups.

    `curvature` (M, M) is H, `column` (M,) is c; targets that are not served are left out. 1 for a single target.
    """
    served = column > 1e-12 * column.max()
    root = column[served].sqrt().double()
    if len(root) < 2:
        return 1.0
    matrix = curvature[served][:, served].double() / root / root[:, None]
    constant = root / root.norm()
    factor, shift = factorised(matrix, torch.ones_like(root), 1e-12)
    vector = torch.linspace(-1, 1, len(root), dtype=torch.float64).cos() + torch.arange(len(root)).remainder(7) / 7
    for _ in range(_EIGENVECTOR_STEPS):
        vector = vector - constant * (constant @ vector)
        vector = torch.cholesky_solve((vector / vector.norm())[:, None], factor)[:, 0]
    vector = vector - constant * (constant @ vector)
    vector /= vector.norm()
    return max(float(vector @ matrix @ vector) if shift < 1 else math.nan, 0.0)
