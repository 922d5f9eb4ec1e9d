"""Optimal transport between a large source and a target sketch, by semi-dual ascent.

A small library of its own: tensors in, potentials with a certificate out. It knows no text, no files of the project
and no Dagster.

    >>> import torch
    >>> from gotd_assets.transport import Problem, make_sketch, solve
    >>> pool, target = torch.randn(5000, 16), torch.randn(400, 16) + 1
    >>> potentials = solve(pool, make_sketch(target, size=50), Problem(epsilon=0.5))
    >>> potentials.certificate.converged
    True
    >>> potentials.scores(pool).argsort()[:10].shape  # the ten candidates that help most
    torch.Size([10])

Importing this package is cheap; torch loads when a name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gotd_assets.transport.certificate import Certificate
    from gotd_assets.transport.debiasing import self_potential
    from gotd_assets.transport.divergence import ot_value, sinkhorn_divergence
    from gotd_assets.transport.many import solve_many
    from gotd_assets.transport.potentials import Potentials, solve
    from gotd_assets.transport.problem import Problem
    from gotd_assets.transport.sample import LazyPlan, OTResult, solve_sample
    from gotd_assets.transport.sketch import Sketch, make_sketch
    from gotd_assets.transport.solver import Progress
    from gotd_assets.transport.source import PreparedSource

_HOMES = {
    "Certificate": "certificate",
    "LazyPlan": "sample",
    "OTResult": "sample",
    "Potentials": "potentials",
    "PreparedSource": "source",
    "Problem": "problem",
    "Progress": "solver",
    "Sketch": "sketch",
    "make_sketch": "sketch",
    "ot_value": "divergence",
    "self_potential": "debiasing",
    "sinkhorn_divergence": "divergence",
    "solve": "potentials",
    "solve_many": "many",
    "solve_sample": "sample",
}
__all__ = [
    "Certificate",
    "LazyPlan",
    "OTResult",
    "Potentials",
    "PreparedSource",
    "Problem",
    "Progress",
    "Sketch",
    "make_sketch",
    "ot_value",
    "self_potential",
    "sinkhorn_divergence",
    "solve",
    "solve_many",
    "solve_sample",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
