"""A problem with its source and target: what is the same in every pass of a solve."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.products import Products
from gotd_assets.transport.semidual import SemiDual
from gotd_assets.transport.source import PreparedSource, block_rows
from gotd_assets.transport.workers import Workers


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
        return SemiDual(
            measure,
            self.kernel,
            self.weights,
            self.epsilon,
            self.workers if self.passes is None or measure is not self.source else self.passes,
            rho=self.rho,
            block_rows=self._block_rows_of(measure),
            cache_bytes=cache_bytes,
            marginal=marginal,
            products=products,
        )

    @property
    def block_rows(self) -> int:
        """Rows of a block of the whole source."""
        return self._block_rows_of(self.source)

    def _block_rows_of(self, measure: PreparedSource) -> int:
        return block_rows(measure.n_rows, len(self.weights), measure.dtype, measure.device.type)
