"""Ascent of the semi-dual: Newton steps where couplings are sharp, else L-BFGS preconditioned by a subsample's curvature.

Sinkhorn's algorithm is block ascent of the same function; it is sure and slow, as its rate depends on ε, and remains
the safeguard. The Hessian of the semi-dual lives in the M numbers of g. At a small ε a row's mass sits on a few targets,
and the Hessian comes almost free with a pass. At a large one it costs N·M² multiplications, but its expectation is the
same on a random subsample of the source, so a subsample's curvature makes full passes converge in a handful; L-BFGS on
top learns from the full passes what the subsample got wrong.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from gotd_assets.transport.semidual import Evaluation, SemiDual

_MEMORY = 8
_LONGEST_STEP = 10.0  # of one potential, in units of ε: farther, the quadratic model says nothing
_SLOW = 0.6
_SHARP = 0.9  # share of the mass in each row's few largest entries
_MOST_REFRESHES = 30
_CLOSE_ENOUGH = 0.02  # marginal error at which annealing goes on to a smaller ε
_MOST_STEPS_PER_LEVEL = 20
_RELAXATION = 1.8  # of Sinkhorn steps (Thibault et al. 2021, "Overrelaxed Sinkhorn-Knopp"), while errors fall


@dataclasses.dataclass(frozen=True, eq=False)
class Ascent:
    """Where an ascent ended: g, the last evaluation there, and the passes it took."""

    g: Tensor
    evaluation: Evaluation
    passes: int


class Preconditioner:
    """ε times the inverse of the negative Hessian at some earlier g, damped; diagonal until the first curvature.

    Where couplings are sharp (ε small: a few targets hold a row's mass), the curvature of the measure that is climbed
    comes along with every evaluation. Otherwise it is taken from the subsample, where a target sees many rows, when
    asked for.
    """

    def __init__(self, oracle: SemiDual) -> None:
        self._oracle = oracle
        self._curvature: Tensor | None = None
        self._factor: Tensor | None = None
        self._damping = 1e-2
        # An accelerator has the exact curvature of a subsample sooner than it could look for large entries.
        self.sharp = oracle.source.device.type == "cpu"
        self.passes = 0
        self.refreshes = 0

    def evaluate(self, oracle: SemiDual, g: Tensor, *, last: bool = False) -> Evaluation:
        """Evaluate `oracle` at `g`; where couplings are sharp, its curvature there is what `apply` then goes by.

        A pass that is probably the `last` is exact and goes without the curvature.
        """
        if last or not self.sharp:
            return oracle.evaluate(g, exact=last)
        evaluation, curvature, kept = oracle.sharp_curvature(g)
        self.sharp = kept >= _SHARP
        if self.sharp:
            self._curvature = curvature
        return evaluation

    def refresh(self, g: Tensor) -> None:
        """Take the exact curvature at `g` from the subsample, in one pass, as must be done where couplings are not sharp."""
        _, self._curvature = self._oracle.curvature(g)
        self.refreshes += 1
        self.passes += 1

    def _factorise(self, curvature: Tensor) -> Tensor:
        b = self._oracle.b
        diagonal = curvature.diagonal()
        diagonal.add_(b.clamp_min(1e-3 / len(b)), alpha=self._damping)
        while True:
            factor: Tensor
            factor, info = torch.linalg.cholesky_ex(curvature)
            if int(info) == 0:
                return factor
            diagonal.add_(b.clamp_min(1e-3 / len(b)), alpha=self._damping)
            self._damping *= 4

    def apply(self, direction: Tensor) -> Tensor:
        """The preconditioned `direction` (M,)."""
        if self._curvature is not None:
            self._factor, self._curvature = self._factorise(self._curvature), None
        if self._factor is None:
            b = self._oracle.b
            return self._oracle.epsilon * direction / b.clamp_min(1e-3 / len(b))
        solved = torch.cholesky_solve(direction.to(self._factor.dtype)[:, None], self._factor)[:, 0]
        return solved.double().mul_(self._oracle.epsilon)

    def trust(self, *, more: bool) -> None:
        """Damp less after a full step, more after a rejected one."""
        self._damping = max(self._damping / 4, 1e-4) if more else min(self._damping * 8, 1e3)


class _Passes:
    """Evaluations of one oracle, counted and reported."""

    def __init__(
        self,
        oracle: SemiDual,
        preconditioner: Preconditioner,
        report: Callable[[Evaluation, int], None],
        most: int,
    ) -> None:
        self.oracle = oracle
        self.preconditioner = preconditioner
        self.made = 0
        self._report = report
        self._most = most

    @property
    def spent(self) -> bool:
        return self.made >= self._most

    def evaluate(self, g: Tensor, *, last: bool = False) -> Evaluation:
        evaluation = self.preconditioner.evaluate(self.oracle, g, last=last)
        self.made += 1
        self._report(evaluation, self.made)
        return evaluation

    def step(self, g: Tensor, current: Evaluation, direction: Tensor, *, last: bool) -> tuple[Tensor, Evaluation]:
        """The next g and the evaluation there: along `direction` as far as H rises, else a Sinkhorn step."""
        slope, length = float(direction @ current.gradient), 1.0
        for _ in range(3):
            candidate = g + length * direction
            evaluation = self.evaluate(candidate, last=last)
            accepted = _is_ascent(current, evaluation, length * slope)
            if accepted or self.spent:
                self.preconditioner.trust(more=accepted and length == 1.0)
                return candidate, evaluation
            length /= 4
        self.preconditioner.trust(more=False)
        candidate = self.oracle.sinkhorn_step(g, current.column)
        return candidate, self.evaluate(candidate, last=last)


def ascend(
    oracle: SemiDual,
    g: Tensor,
    preconditioner: Preconditioner,
    *,
    tolerance: float,
    max_passes: int,
    report: Callable[[Evaluation, int], None],
    known: Evaluation | None = None,
) -> Ascent:
    """Climb from `g` until the marginal error is at most `tolerance` or `max_passes` were made.

    `known` is the evaluation at `g`, if it was made already; it is not among the passes.

    The last evaluation has exact couplings, so that it certifies. If those in the cache are rounded, a pass that is
    expected to be the last computes them anew; where the last was not expected, it is repeated.
    """
    passes = _Passes(oracle, preconditioner, report, max_passes)
    current = passes.evaluate(g) if known is None else known
    best = Ascent(g, current, 0)
    memory: deque[tuple[Tensor, Tensor]] = deque(maxlen=_MEMORY)
    expected, repeated = current.error, False
    longest = torch.full_like(g, _LONGEST_STEP * oracle.epsilon)
    while not passes.spent and not (current.error <= tolerance and current.exact):
        if current.error <= tolerance:
            # From here on exact throughout: rounded couplings can meet a tolerance that exact ones do not.
            current, repeated = passes.evaluate(g, last=True), True
            best = Ascent(g, current, 0)
            continue
        direction = _direction(current.gradient, memory, preconditioner)
        direction = torch.minimum(torch.maximum(direction, -longest), longest)
        if float(direction @ current.gradient) <= 0:
            memory.clear()
            direction = oracle.sinkhorn_step(g, current.column) - g
        before = g, current
        g, current = passes.step(g, current, direction, last=repeated or expected <= tolerance / 2)
        longest = _longest(longest, g - before[0], before[1].gradient * current.gradient, oracle.epsilon)
        expected = _expected_error(before[1].error, current.error, preconditioner)
        if current.error < best.evaluation.error:
            best = Ascent(g, current, 0)
        # Pairs of a curvature that is new at every step only disturb it.
        if not preconditioner.sharp:
            memory.append((g - before[0], before[1].gradient - current.gradient))
            slow = current.error > max(tolerance, _SLOW * before[1].error)
            if slow and preconditioner.refreshes < _MOST_REFRESHES:
                preconditioner.refresh(g)
                memory.clear()
    if not best.evaluation.exact:
        best = Ascent(best.g, passes.evaluate(best.g, last=True), 0)
    return dataclasses.replace(best, passes=passes.made)


def _expected_error(before: float, now: float, preconditioner: Preconditioner) -> float:
    """Of the next step: Newton's converge quadratically, others are taken to reduce the error by as much as the last."""
    ratio = min(1.0, now / before)
    return now * (ratio**2 if preconditioner.sharp else ratio)


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


def _direction(gradient: Tensor, memory: deque[tuple[Tensor, Tensor]], preconditioner: Preconditioner) -> Tensor:
    """Two-loop recursion (Nocedal & Wright, Algorithm 7.4) for ascent, the preconditioner as initial inverse Hessian."""
    pairs = [(step, change, float(step @ change)) for step, change in memory]
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


def anneal(oracle: SemiDual, g: Tensor, start: float, report: Callable[[Evaluation, int], None]) -> tuple[Tensor, int]:
    """Over-relaxed Sinkhorn steps at each ε, from `start` by halves to the oracle's own; return g and the passes made.

    Potentials are nearly affine in ε, so each level begins where the last two point to: far fewer steps are needed when
    mass has to move between clusters, which Sinkhorn steps at a small ε learn of slowly.
    """
    epsilon, passes = max(start, oracle.epsilon), 0
    earlier: tuple[Tensor, float] | None = None
    while True:
        evaluation = oracle.evaluate(g, epsilon)
        passes += 1
        relaxation = 1.0
        for _ in range(_MOST_STEPS_PER_LEVEL):
            g = g + relaxation * (oracle.sinkhorn_step(g, evaluation.column, epsilon) - g)
            if evaluation.error <= _CLOSE_ENOUGH:
                break
            following = oracle.evaluate(g, epsilon)
            passes += 1
            relaxation = _RELAXATION if following.error < evaluation.error else 1.0
            evaluation = following
        report(evaluation, passes)
        if epsilon <= oracle.epsilon:
            return g, passes
        smaller = max(oracle.epsilon, epsilon / 2)
        level = g, epsilon
        if earlier is not None:
            g = g + (g - earlier[0]) * ((epsilon - smaller) / (earlier[1] - epsilon))
        earlier, epsilon = level, smaller
