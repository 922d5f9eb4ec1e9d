"""Transport values between measures."""

from __future__ import annotations

from gotd_assets.errors import TransportError
from gotd_assets.transport.debiasing import self_potential
from gotd_assets.transport.potentials import solve
from gotd_assets.transport.problem import DEFAULT, Problem
from gotd_assets.transport.sketch import Sketch
from gotd_assets.transport.source import PreparedSource, Shards
from gotd_assets.transport.weights import Weights


def ot_value(
    source: Shards | PreparedSource, sketch: Sketch, problem: Problem = DEFAULT, *, weights: Weights | None = None
) -> float:
    """OT_ε between source and sketch, in units of the cost: the dual value of a solve. Arguments as in `solve`."""
    return solve(source, sketch, problem, weights=weights).certificate.dual_value


def sinkhorn_divergence(left: Sketch, right: Sketch, problem: Problem = DEFAULT) -> float:
    """S_ε = OT_ε(α,β) − ½OT_ε(α,α) − ½OT_ε(β,β) between two small measures; zero if and only if they are equal.

    Its error is that of the first term's dual value: between measures that are close it takes a small `tolerance`.

    Raises:
        TransportError: the problem has a reach: the divergence of unbalanced measures is another one.
    """
    if problem.reach is not None:
        raise TransportError(f"reach is {problem.reach:g}; the divergence is of balanced measures: leave it out")
    cross = solve(left.points, right, problem, weights=left.weights)
    _, left_self = self_potential(left, cross.problem)
    _, right_self = self_potential(right, cross.problem)
    return cross.certificate.dual_value - 0.5 * left_self - 0.5 * right_self
