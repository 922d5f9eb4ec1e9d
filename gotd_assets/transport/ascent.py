"""Ascent of the semi-dual: by a model of the whole pass where couplings are sharp, else by a subsample's curvature.

Sinkhorn's algorithm is block ascent of the same function; it is sure and slow, as its rate depends on ε, and remains
the safeguard. At a small ε a row's mass sits on a few targets, and a pass brings them along: the optimum of that model
(`transport/model.py`) is the next g. At a large one the Hessian costs N·M² multiplications, but its expectation is the
same on a random subsample of the source, so a subsample's curvature makes full passes converge in a handful; L-BFGS on
top learns from the full passes what the subsample got wrong.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias, overload

import numpy as np
import torch
from torch import Tensor

from gotd_assets.transport.model import Model
from gotd_assets.transport.newton import best_move, second_eigenvalue
from gotd_assets.transport.preconditioner import Preconditioner
from gotd_assets.transport.prediction import Prediction, by_curvature, by_model
from gotd_assets.transport.semidual import FEW_ENTRIES, MANY_ENTRIES, Evaluation, SemiDual

Stopped: TypeAlias = Literal["converged", "passes", "stalled"]

_MEMORY = 8
_LONGEST_STEP = 10.0  # of one potential, in units of ε, by a quadratic model
_RADIUS, _LEAST_RADIUS = 80.0, 0.5  # of a move by a model of entries, in units of ε
_FORCING = 0.01  # of the error: what is left of it at a model's optimum
_FEW_ROWS = 60_000  # of which a model can have many entries at once
_SLOW = 0.6
_SHARP = 0.9  # share of the mass in the entries of a model
_MOST_REFRESHES = 30
_PATIENCE = 12  # passes without a smaller error


@dataclasses.dataclass(frozen=True)
class Goal:
    """When an ascent may end.

    Attributes:
        tolerance: marginal error.
        overlap: predicted share of the best rows that stay so, or None for any.
        score_error: predicted largest change of a score, in units of the cost.
        top_share: which share of the rows the best are.
    """

    tolerance: float
    overlap: float | None = None
    score_error: float = float("inf")
    top_share: float = 0.01

    def met(self, evaluation: Evaluation, prediction: Prediction | None) -> bool:
        """Whether this is good enough; a prediction that was not made is not asked for."""
        if evaluation.error > self.tolerance:
            return False
        if prediction is None or self.overlap is None:
            return True
        return prediction.top_share_overlap >= self.overlap and prediction.score_error <= self.score_error


@dataclasses.dataclass(frozen=True, eq=False)
class Ascent:
    """Where an ascent ended: g, the evaluation there, the passes it took, what it foretells, and why it ended.

    It was hard if a quadratic model did not get there in the passes that it was given.
    """

    g: Tensor
    evaluation: Evaluation
    passes: int
    prediction: Prediction | None = None
    stopped: Stopped = "passes"
    is_hard: bool = False


class _Climb:
    """The passes of one ascent: counted, reported, the best of them kept."""

    def __init__(
        self, oracle: SemiDual, goal: Goal, report: Callable[[Evaluation, int], None], most: int, sample: SemiDual
    ) -> None:
        self.oracle = oracle
        self.goal = goal
        self.sample = sample
        self.made = 0
        self._report = report
        self._most = most
        self._best: tuple[float, int] = float("inf"), 0

    @property
    def spent(self) -> bool:
        return self.made >= self._most

    @property
    def stalled(self) -> bool:
        return self.made - self._best[1] > _PATIENCE

    def evaluate(self, g: Tensor, *, exact: bool = False) -> Evaluation:
        return self._told(self.oracle.evaluate(g, exact=exact))

    def model(
        self, g: Tensor, depth: float, entries: int, *, exact: bool = False, last: bool = False
    ) -> tuple[Evaluation, Model]:
        evaluation, model = self.oracle.model(g, depth, entries, exact=exact, last=last)
        return self._told(evaluation), model

    def _told(self, evaluation: Evaluation) -> Evaluation:
        self.made += 1
        if evaluation.error < 0.9 * self._best[0]:
            self._best = evaluation.error, self.made
        self._report(evaluation, self.made)
        return evaluation

    def stopped(self, *, met: bool) -> Stopped:
        return "converged" if met else ("passes" if self.spent else "stalled")


def always() -> bool:
    """The optimum counts as far."""
    return True


def ascend(
    oracle: SemiDual,
    g: Tensor,
    preconditioner: Preconditioner,
    *,
    goal: Goal,
    max_passes: int,
    plain: int,
    far: Callable[[], bool] = always,
    report: Callable[[Evaluation, int], None],
) -> Ascent:
    """Climb from `g` until the goal is met, `max_passes` were made, or the error no longer falls.

    Where couplings are sharp, the first `plain` passes are by a quadratic model too, which takes a fraction of the time
    and is enough where the problem is easy. How many entries a model has may depend on whether the optimum is `far`, which
    is asked for only then.

    The last evaluation has exact couplings, so that it certifies. If products are reduced, a pass that is
    expected to be the last computes them in full; where the last was not expected, it is repeated.
    """
    climb = _Climb(oracle, goal, report, max_passes, preconditioner.oracle)
    # An accelerator has the exact curvature of a subsample sooner than it could look for large entries.
    entries = MANY_ENTRIES if oracle.source.n_rows <= _FEW_ROWS and far() else FEW_ENTRIES
    is_cpu = oracle.source.device.type == "cpu"
    depth, share = climb.sample.depth(g, entries) if is_cpu else (0.0, 0.0)
    if is_cpu and share < _SHARP and entries < MANY_ENTRIES and far():
        entries = MANY_ENTRIES
        depth, share = climb.sample.depth(g, entries)
    if share >= _SHARP and plain > 0:
        easy = _by_memory(climb, g, preconditioner, most=plain)
        if isinstance(easy, Ascent):
            return easy
        g = easy
        depth, share = climb.sample.depth(g, entries)
    if share >= _SHARP:
        found = _by_model(climb, g, depth, entries)
        if isinstance(found, Ascent):
            return found
        g = found
    return _by_memory(climb, g, preconditioner)


def _by_model(climb: _Climb, g: Tensor, depth: float, entries: int) -> Ascent | Tensor:
    """Climb from optimum to optimum of models; only g if couplings are no longer sharp."""
    oracle, goal = climb.oracle, climb.goal
    epsilon, radius, exact = oracle.epsilon, _RADIUS, False
    current, model = climb.model(g, depth, entries)
    while True:
        # Farther, entries rise that the model has not.
        known = min(radius, depth)
        move = best_move(model, radius=known, enough=_FORCING * current.error)
        prediction = by_model(model, move, epsilon, goal.top_share)
        met = goal.met(current, prediction)
        ended = climb.spent or climb.stalled or (move.gain <= 0 and not met)
        if (met or ended) and not current.exact:
            # From here on exact throughout: reduced couplings can meet a tolerance that exact ones do not.
            exact = True
            current, model = climb.model(g, depth, entries, exact=True, last=True)
            continue
        if met or ended:
            if goal.overlap is not None:
                prediction = dataclasses.replace(prediction, lambda2=_second_eigenvalue(model, current))
            return Ascent(g, current, climb.made, prediction, climb.stopped(met=met), is_hard=True)
        moved = g + epsilon * torch.from_numpy(move.delta)
        if move.length > 0.5 * known:
            entries = MANY_ENTRIES
        depth, share = climb.sample.depth(moved, entries)
        if share < _SHARP:
            return moved
        last = exact or (move.left <= goal.tolerance / 4 and 0.2 * prediction.score_error <= goal.score_error)
        after, model_there = climb.model(moved, depth, entries, exact=last, last=last)
        gain = (after.value - current.value) / epsilon
        if _is_ascent(current, after, move.gain * epsilon):
            if move.length > 0.9 * known and gain > 0.5 * move.gain:
                radius = max(radius, 2 * known)
            elif gain < 0.25 * move.gain:
                radius = max(move.length / 2, _LEAST_RADIUS)
            g, current, model = moved, after, model_there
        else:
            radius = max(move.length / 4, 1e-3)


def _second_eigenvalue(model: Model, current: Evaluation) -> float:
    """λ₂ where the model was made."""
    here = np.zeros(model.size)
    return second_eigenvalue(model.curvature(here, model.value(here)[1]), current.column)


@overload
def _by_memory(climb: _Climb, g: Tensor, preconditioner: Preconditioner) -> Ascent: ...
@overload
def _by_memory(climb: _Climb, g: Tensor, preconditioner: Preconditioner, *, most: int) -> Ascent | Tensor: ...
def _by_memory(climb: _Climb, g: Tensor, preconditioner: Preconditioner, *, most: int | None = None) -> Ascent | Tensor:
    """Climb by L-BFGS with a subsample's curvature; only the best g if that takes more than `most` passes."""
    oracle, goal = climb.oracle, climb.goal
    if preconditioner.curvature is None:
        preconditioner.refresh(g)
    current = climb.evaluate(g)
    best, memory, tolerance, exact = (g, current), _Memory(), goal.tolerance, False
    longest = torch.full_like(g, _LONGEST_STEP * oracle.epsilon)
    while True:
        near, ended = current.error <= tolerance, climb.spent or climb.stalled
        if ended and not near:
            g, current = best
        if (near or ended) and not current.exact:
            exact = True
            current = climb.evaluate(g, exact=True)
            best = g, current
            continue
        if near or ended:
            prediction = _foretold(preconditioner, g, current, goal)
            met = goal.met(current, prediction)
            if met or ended:
                return Ascent(g, current, climb.made, prediction, climb.stopped(met=met))
            tolerance = current.error / 3
            memory.pairs.clear()
        if most is not None and climb.made >= most:
            return best[0]
        before = g, current
        direction = torch.minimum(torch.maximum(memory.direction(current.gradient, preconditioner), -longest), longest)
        if float(direction @ current.gradient) <= 0:
            memory.pairs.clear()
            direction = oracle.sinkhorn_step(g, current.column) - g
        expected = current.error * min(1.0, memory.ratio)
        g, current = _stepped(climb, g, current, direction, exact=exact or expected <= goal.tolerance / 2)
        longest = _longest(longest, g - before[0], before[1].gradient * current.gradient, oracle.epsilon)
        memory.add(before, (g, current))
        best = (g, current) if current.error < best[1].error else best
        slow = current.error > max(goal.tolerance, _SLOW * before[1].error)
        if slow and preconditioner.refreshes < _MOST_REFRESHES:
            preconditioner.refresh(g)
            memory.pairs.clear()


def _foretold(preconditioner: Preconditioner, g: Tensor, current: Evaluation, goal: Goal) -> Prediction | None:
    """What the exact curvature of the subsample around `g` says of what is still to come; None if that is not asked for."""
    if goal.overlap is None:
        return None
    curvature = preconditioner.around(g)
    return by_curvature(preconditioner.oracle, g, current, curvature, goal.top_share)


def _stepped(
    climb: _Climb, g: Tensor, current: Evaluation, direction: Tensor, *, exact: bool
) -> tuple[Tensor, Evaluation]:
    """The next g and the evaluation there: along `direction` as far as H rises, else a Sinkhorn step."""
    slope, length = float(direction @ current.gradient), 1.0
    for _ in range(3):
        candidate = g + length * direction
        evaluation = climb.evaluate(candidate, exact=exact)
        if _is_ascent(current, evaluation, length * slope) or climb.spent:
            return candidate, evaluation
        length /= 4
    candidate = climb.oracle.sinkhorn_step(g, current.column)
    return candidate, climb.evaluate(candidate, exact=exact)


def _longest(longest: Tensor, step: Tensor, agreement: Tensor, epsilon: float) -> Tensor:
    """How far each potential may move next: twice as far if it went as far as it could and still falls short.

    A target that nothing reaches has no curvature: no model tells how far its potential must rise, only search does. Were
    the whole step shortened for its sake, all others would wait for it. `agreement` (M,) is positive where the gradient
    kept its sign over `step`.
    """
    short = (step.abs() > 0.999 * longest) & (agreement > 0)
    return torch.where(short, 2 * longest, _LONGEST_STEP * epsilon)


def _is_ascent(before: Evaluation, after: Evaluation, predicted: float) -> bool:
    # Near the optimum the value's rounding error exceeds the gain; the gradient then tells more.
    noise = 1e-6 * abs(before.value) + 1e-9
    return after.value >= before.value + 1e-4 * predicted - noise and (
        predicted > noise or after.error <= 2 * before.error
    )


class _Memory:
    """The last steps and how the gradient changed over them; and by how much the error fell."""

    def __init__(self) -> None:
        self.pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=_MEMORY)
        self.ratio = 1.0

    def add(self, before: tuple[Tensor, Evaluation], after: tuple[Tensor, Evaluation]) -> None:
        """What happened from `before` to `after`."""
        self.pairs.append((after[0] - before[0], before[1].gradient - after[1].gradient))
        self.ratio = after[1].error / max(before[1].error, 1e-300)

    def direction(self, gradient: Tensor, preconditioner: Preconditioner) -> Tensor:
        """Two-loop recursion (Nocedal & Wright, Algorithm 7.4) for ascent, the preconditioner as initial inverse Hessian."""
        pairs = [(step, change, float(step @ change)) for step, change in self.pairs]
        pairs = [pair for pair in pairs if pair[2] > 1e-30]
        q = gradient.clone()
        alphas = []
        for step, change, product in reversed(pairs):
            alpha = float(step @ q) / product
            alphas.append(alpha)
            q -= alpha * change
        r = preconditioner.apply(q)
        for (step, change, product), alpha in zip(pairs, reversed(alphas), strict=True):
            r += (alpha - float(change @ r) / product) * step
        return r
