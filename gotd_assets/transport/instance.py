"""A problem with its source and target: what is the same in every pass of a solve."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.products import Products
from gotd_assets.transport.semidual import SemiDual
from gotd_assets.transport.source import PreparedSource
from gotd_assets.transport.workers import Workers

_BLOCK_BYTES = 8 * 2**20
_LEAST_ROWS, _LEAST_BLOCKS = 512, 8  # so that a small source is work for several threads, too
_CUDA_BLOCK_BYTES = 256 * 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
    """A source, a target and how they are coupled.

    Attributes:
        source: all of it.
        sample: random rows of it, in memory; the source itself if it is small.
        rows: (n,) where in the source the sample's rows stand, ascending.
        kernel: cost against the target's points.
        weights: (M,) float64 of the target.
        epsilon: absolute.
        rho: weight of the relaxed target marginal's divergence, or None.
        mean_cost: between source and target, estimated.
        workers: threads of this solve.
        passes: who makes the passes over the whole source, if others.
    """

    source: PreparedSource
    sample: PreparedSource
    rows: Tensor
    kernel: Kernel
    weights: Tensor
    epsilon: float
    rho: float | None
    mean_cost: float
    workers: Workers
    passes: Workers | None = None

    def oracle(
        self,
        measure: PreparedSource,
        cache_bytes: int,
        marginal: Tensor | None = None,
        products: Products = "float32",
    ) -> SemiDual:
        """The semi-dual of `measure`; the column marginal to reach is `marginal` if not the target's weights."""
        rows = block_rows(measure.n_rows, len(self.weights), measure.dtype, measure.device)
        return SemiDual(
            measure,
            self.kernel,
            self.weights,
            self.epsilon,
            self.workers if self.passes is None or measure is not self.source else self.passes,
            rho=self.rho,
            block_rows=rows,
            cache_bytes=cache_bytes,
            marginal=marginal,
            products=products,
        )


def block_rows(rows: int, targets: int, dtype: torch.dtype, device: torch.device) -> int:
    """Rows of a block: a matter of the problem alone, so that memory free by chance does not show in the last digits."""
    size = 8 if dtype == torch.float64 else 4
    budget = _CUDA_BLOCK_BYTES if device.type == "cuda" else _BLOCK_BYTES
    enough = rows if device.type == "cuda" else max(_LEAST_ROWS, -(-rows // _LEAST_BLOCKS))
    return max(64, min(budget // (targets * size), enough))
