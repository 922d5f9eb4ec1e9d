"""What a selection is worth before any training: the transport cost from the effective distribution to the target."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from gotd_assets.fingerprint import Json
    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.transport import Potentials


@dataclasses.dataclass(frozen=True)
class Worth:
    """Transport cost to the target, in units of the cost.

    Attributes:
        before: from the pool.
        after: from the effective distribution λ·selection + (1−λ)·pool (Kang et al. 2024, Lemma 1).
        mixing: λ.
    """

    before: float
    after: float
    mixing: float

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for manifests."""
        return {**dataclasses.asdict(self), "reduction": self.before - self.after}


def worth_of(selected: pl.Series, pool: Pool, potentials: Potentials, mixing: float) -> Worth:
    """Solve the transport problem again with the effective distribution as source, from the pool's potentials.

    Args:
        selected: doc_ids of the selection.
        pool: all candidates.
        potentials: solved between pool and target; their dual value is `before`.
        mixing: λ, between 0 and 1.
    """
    return worth_over(selected, pool, potentials, [mixing])[0]


def worth_over(selected: pl.Series, pool: Pool, potentials: Potentials, mixings: Sequence[float]) -> list[Worth]:
    """`worth_of` for several λ, in their order; each solve starts where the last one ended."""
    chosen = pool.doc_ids().get_column("doc_id").is_in(selected.implode()).to_numpy()
    found, latest = {}, potentials
    for mixing in sorted(set(mixings)):
        weights = np.full(len(chosen), (1 - mixing) / len(chosen))
        weights[chosen] += mixing / chosen.sum()
        latest = latest.again(pool.vectors, weights=weights)
        found[mixing] = Worth(potentials.certificate.dual_value, latest.certificate.dual_value, mixing)
    return [found[mixing] for mixing in mixings]


def budget_curve(gradients: npt.NDArray[Any], points: int = 30) -> list[tuple[int, float]]:
    """Sum of the `gradients` (n,) of the first k documents of a ranking, for k on a logarithmic grid up to n.

    By the first-order expansion of the transport cost, λ/n times the sum at n is what the whole selection changes; the
    curve falls as long as documents help and turns where the calibrated score crosses zero.
    """
    if not len(gradients):
        return []
    sums = np.cumsum(gradients)
    grid = np.unique(np.geomspace(1, len(gradients), points).round().astype(int))
    return [(int(k), float(sums[k - 1])) for k in grid]
