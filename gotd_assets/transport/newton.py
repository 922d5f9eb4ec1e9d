"""The optimum of a model of the semi-dual, by Newton's method, and what it foretells of the optimum itself."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gotd_assets.transport.model import Model

_Floats = npt.NDArray[np.float64]
_State: TypeAlias = "tuple[_Floats, float, _Floats]"
"""δ, the model's value there, and its columns."""
_MOST_STEPS = 25
_LITTLE, _MOST_IDLE = 1e-3, 2  # of the gain so far; steps in a row that bring no more
_MOST_TRIALS = 6
_MOST_SHORTENED = 2
_AGAIN = 0.3  # of the error may be left after a step by an earlier curvature
_LEAST_DAMPING, _MOST_DAMPING = 1e-12, 1e6
_LONGEST_RISE = 20.0  # of a column's logarithm, in one of Sinkhorn's steps
_EIGENVECTOR_STEPS = 12
_ROUNDING = 1e-12
_NEAR = 3.0  # in units of ε, how far entries are followed that were looked for somewhere
_LEFT_OUT = 6400.0  # times as much as the entries may have that are left out


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
    nearby = _Nearby(model, enough)
    start, column = nearby.value(delta)
    newton, value, idle = _Newton(nearby, radius), start, 0
    for _ in range(_MOST_STEPS):
        before = value, _left(model, delta, column, radius)
        gradient = model.wanted(delta) - column
        free = model.relaxed is None and not _held(delta, gradient, radius).any()
        risen = _confined(delta + _sinkhorn(model, delta, column, used), radius, centre=free)
        risen_value, risen_column = nearby.value(risen)
        if risen_value > value - _ROUNDING:
            delta, value, column = risen, risen_value, risen_column
        if _left(model, delta, column, radius) <= enough:
            break
        after = newton.step((delta, value, column))
        if after is None:
            break
        delta, value, column = after
        still = _left(model, delta, column, radius)
        # Mass that the model's entries cannot bring is not brought by more steps.
        idle = idle + 1 if value - before[0] < _LITTLE * (value - start) and still > 0.9 * before[1] else 0
        if still <= enough or idle == _MOST_IDLE:
            break
    left = float(np.abs(model.wanted(delta) - column).sum())
    return Move(delta, value - start, left, float(np.abs(delta[used]).max(initial=0.0)))


class _Nearby:
    """A model that is made quicker around where it was last asked for its curvature."""

    def __init__(self, model: Model, enough: float) -> None:
        """`enough` is the marginal error that is looked for: what is left out is far less."""
        self.model = model
        self._depth = 2 * _NEAR + math.log(_LEFT_OUT / max(enough, 1e-12))
        self._near: Model | None = None
        self._around = np.zeros(model.size)

    def value(self, delta: _Floats) -> tuple[float, _Floats]:
        """As the model's."""
        return self._at(delta).value(delta)

    def curvature(self, delta: _Floats, column: _Floats) -> Tensor:
        """As the model's."""
        near = self._at(delta)
        if near is self.model:
            self._near, self._around = near.near(delta, self._depth), delta
            near = self._near
        return near.curvature(delta, column)

    def _at(self, delta: _Floats) -> Model:
        if self._near is not None and np.ptp(delta - self._around) <= 2 * _NEAR:
            return self._near
        return self.model


def _held(delta: _Floats, gradient: _Floats, radius: float) -> npt.NDArray[np.bool_]:
    """Which are as far as they may go, and would go farther."""
    return (np.abs(delta) > radius - _ROUNDING) & (delta * gradient > 0)


def _left(model: Model, delta: _Floats, column: _Floats, radius: float) -> float:
    """The marginal error that is left within the radius."""
    gradient = model.wanted(delta) - column
    return float(np.abs(gradient[~_held(delta, gradient, radius)]).sum())


def _sinkhorn(model: Model, delta: _Floats, column: _Floats, used: npt.NDArray[np.bool_]) -> _Floats:
    """The step of Sinkhorn's algorithm, which never lowers the value."""
    risen = np.log(np.where(used, model.wanted(delta), 1.0)) - np.log(np.where(used, np.maximum(column, 1e-300), 1.0))
    ratio: _Floats = np.clip(risen, -_LONGEST_RISE, _LONGEST_RISE)
    return ratio if model.relaxed is None else ratio / (1 + model.relaxed)


def _confined(delta: _Floats, radius: float, *, centre: bool) -> _Floats:
    """Within the radius, around 0 or, as a common shift changes nothing of a balanced problem, around the `centre`."""
    if centre:
        delta = delta - (delta.max() + delta.min()) / 2
    return np.clip(delta, -radius, radius)


class _Newton:
    """Newton's steps up a model, each damped as much as it takes to rise."""

    def __init__(self, nearby: _Nearby, radius: float) -> None:
        self._nearby = nearby
        self._radius = radius
        self._damping = 1e-8
        self._last: tuple[Tensor, npt.NDArray[np.bool_]] | None = None

    def step(self, now: _State) -> _State | None:
        """A step that raises the value; None if none was found.

        Potentials that are held at the radius are no part of it (Bertsekas 1982, "Projected Newton methods"): a step of all
        of them, cut off at the radius, would hardly move the others.
        """
        delta, _, column = now
        missing = self._nearby.model.wanted(delta) - column
        held = _held(delta, missing, self._radius)
        missing = np.where(held, 0.0, missing)
        return self._again(now, missing, held) or self._anew(now, missing, held)

    def _again(self, now: _State, missing: _Floats, held: npt.NDArray[np.bool_]) -> _State | None:
        """A step by the curvature of the last one, if that was whole and this one brings as much: it costs next to nothing."""
        if self._last is None or not np.array_equal(self._last[1], held):
            return None
        delta, value, _ = now
        step = self._direction(self._last[0], missing, held)
        moved = _confined(delta + step, self._radius, centre=self._is_free(held))
        found, at = self._nearby.value(moved)
        left = np.abs(self._nearby.model.wanted(moved) - at).sum()
        if found > value - _ROUNDING and left < _AGAIN * np.abs(missing).sum():
            return moved, found, at
        self._last = None
        return None

    def _anew(self, now: _State, missing: _Floats, held: npt.NDArray[np.bool_]) -> _State | None:
        nearby, model = self._nearby, self._nearby.model
        delta, value, column = now
        curvature = nearby.curvature(delta, column)
        error = np.abs(missing).sum()
        if held.any():
            bound = torch.from_numpy(held)
            curvature = curvature.masked_fill(bound[:, None] | bound, 0.0)
        scale = torch.from_numpy(column + model.target).to(curvature.dtype)
        self._last = None
        for trial in range(_MOST_TRIALS):
            factor, self._damping = factorised(curvature, scale, self._damping)
            step, length = self._direction(factor, missing, held), 1.0
            for _ in range(_MOST_SHORTENED):
                moved = _confined(delta + length * step, self._radius, centre=self._is_free(held))
                found, at = nearby.value(moved)
                # Near the optimum the value's rounding exceeds the gain; the gradient then tells more.
                closer = abs(found - value) < _ROUNDING and np.abs(model.wanted(moved) - at).sum() < 0.5 * error
                if found > value + _ROUNDING or closer:
                    if length == 1.0:
                        self._last = (factor, held) if trial == 0 else None
                        self._damping = max(self._damping / 10, _LEAST_DAMPING)
                    else:
                        self._damping *= 3
                    return moved, found, at
                length /= 4
            self._damping *= 100
            if self._damping > _MOST_DAMPING:
                break
        return None

    def _is_free(self, held: npt.NDArray[np.bool_]) -> bool:
        """Whether a common shift of all potentials changes nothing."""
        return self._nearby.model.relaxed is None and not bool(held.any())

    def _direction(self, factor: Tensor, missing: _Floats, held: npt.NDArray[np.bool_]) -> _Floats:
        target = self._nearby.model.target
        gradient = torch.from_numpy(missing).to(factor.dtype)
        step = torch.cholesky_solve(gradient[:, None], factor)[:, 0].double().numpy()
        if self._is_free(held):
            step = step - target @ step
        return np.where(target > 0, step, 0.0)


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
