"""geomloss as the reference solver."""

from __future__ import annotations

import torch
from torch import Tensor

from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.source import PreparedSource


def geomloss_potential(
    source: PreparedSource, kernel: Kernel, weights: Tensor, epsilon: float, reach: float | None
) -> Tensor:
    """The target potential (M,) float64 by geomloss' tensorized Sinkhorn loop (scaling 0.9).

    The whole source is held in memory. With `reach`, geomloss relaxes both marginals, this project only the target's.
    """
    from geomloss import SamplesLoss

    p = 2 if kernel.cost == "sqeuclidean" else 1
    loss = SamplesLoss(
        "sinkhorn",
        p=p,
        blur=epsilon ** (1 / p),
        reach=reach,
        scaling=0.9,
        debias=False,
        potentials=True,
        backend="tensorized",
    )
    points = source.take(torch.arange(source.n_rows))
    a, b = source.weights.to(points), weights.to(points)
    _, g = loss(a, points, b, kernel.targets)
    potential: Tensor = g.detach().flatten().double().cpu()
    return potential
