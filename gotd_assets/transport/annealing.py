"""The way down to a small ε: Sinkhorn steps at larger ones first."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gotd_assets.transport.semidual import Evaluation, SemiDual

_CLOSE_ENOUGH = 0.02  # marginal error at which annealing goes on to a smaller ε
_MOST_STEPS_PER_LEVEL = 20
_RELAXATION = 1.8  # of Sinkhorn steps (Thibault et al. 2021, "Overrelaxed Sinkhorn-Knopp"), while errors fall


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
