"""How diverse a selection is: among its own documents, and over the target's clusters."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.embedding.vectors import unit_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.fingerprint import Json

NEAR_DUPLICATE = 0.95
_MOST_QUERIES = 20_000
_CLUSTERS_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Diversity:
    """Figures of one selection.

    Attributes:
        mean_nearest_distance: mean of 1 − cosine between a document and the nearest other one of the selection.
        near_duplicate_share: share of documents with another one at a cosine similarity above 0.95.
        target_clusters: points of the target sketch.
        target_clusters_covered: how many of them are nearest to at least one document.
        effective_target_clusters: exp of the entropy of the documents' shares over these points: 1 if all are at one.
        cluster_shares: the points with most documents: place in the sketch, share of the target, share of the selection.
    """

    mean_nearest_distance: float | None
    near_duplicate_share: float
    target_clusters: int
    target_clusters_covered: int
    effective_target_clusters: float
    cluster_shares: tuple[tuple[int, float, float], ...]

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for manifests."""
        return {
            **dataclasses.asdict(self),
            "cluster_shares": [
                {"cluster": cluster, "share_of_target": target, "share_of_selection": share}
                for cluster, target, share in self.cluster_shares
            ],
        }


def diversity_of(
    vectors: npt.NDArray[Any], points: npt.NDArray[Any], weights: npt.NDArray[Any], *, seed: int = 0
) -> Diversity:
    """Diversity of the selection with `vectors` (n, D) over the target sketch `points` (M, D) with `weights` (M,).

    Of more than 20,000 documents a random 20,000 are asked for their nearest neighbour among all.
    """
    import faiss

    directions = unit_rows(vectors)
    queries = np.arange(len(directions))
    if len(queries) > _MOST_QUERIES:
        queries = np.sort(np.random.default_rng(seed).choice(len(directions), _MOST_QUERIES, replace=False))
    nearest = np.empty(0)
    if len(directions) > 1:
        similarity, index = faiss.knn(directions[queries], directions, 2, metric=faiss.METRIC_INNER_PRODUCT)
        # A document finds itself first, or a copy of itself that is as near.
        itself = index[:, 0] == queries
        nearest = np.where(itself, similarity[:, 1], similarity[:, 0]).astype(np.float64)
    _, cluster = faiss.knn(
        np.ascontiguousarray(vectors, dtype=np.float32), np.ascontiguousarray(points, dtype=np.float32), 1
    )
    shares = np.bincount(cluster[:, 0], minlength=len(points)) / len(vectors)
    occupied = shares[shares > 0]
    top = np.argsort(-shares, kind="stable")[: min(_CLUSTERS_SHOWN, len(occupied))]
    return Diversity(
        mean_nearest_distance=float(np.mean(1 - np.minimum(nearest, 1))) if len(nearest) else None,
        near_duplicate_share=float(np.mean(nearest > NEAR_DUPLICATE)) if len(nearest) else 0.0,
        target_clusters=len(points),
        target_clusters_covered=len(occupied),
        effective_target_clusters=float(np.exp(-(occupied * np.log(occupied)).sum())),
        cluster_shares=tuple((int(i), float(weights[i]), float(shares[i])) for i in top),
    )
