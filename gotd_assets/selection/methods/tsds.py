"""TSDS: nearest neighbours by optimal transport with a kernel density that discounts near-duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.selection.pool.pool import vectors_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem

    Array = npt.NDArray[Any]


def tsds(problem: SelectionProblem) -> pl.DataFrame:
    """TSDS (Liu et al. 2024, arXiv 2410.11303): draw candidates by the plan of a regularised transport problem.

    Each of M target documents spreads mass 1/M over its nearest candidates; the plan γ minimises
    α/C·Σ γ_ij d_ij + (1−α)·M·max_ij ρ_j γ_ij with Euclidean distances d and ρ_j the kernel density of candidate j
    (how many near-duplicates it has, itself included). The authors draw with replacement; here the draw is without
    (Gumbel top-k by probability), and candidates without probability follow by distance. Neighbours are exact.
    """
    settings = problem.settings.tsds
    doc_ids, distances, neighbours = _nearest(problem, settings.neighbours)
    used, place = np.unique(neighbours, return_inverse=True)
    used_ids = doc_ids.get_column("doc_id").gather(used)
    if settings.sigma:
        vectors = vectors_of(used_ids, problem.pool)
        density = kernel_density(vectors, settings.sigma, settings.density_neighbours)
    else:
        density = np.ones(len(used))
    plan = assignment(distances, density[place].reshape(neighbours.shape), settings.alpha, settings.scale)
    probability = np.bincount(place.ravel(), plan.ravel(), minlength=len(used))
    nearest = np.full(len(used), np.inf)
    np.minimum.at(nearest, place.ravel(), distances.ravel())
    reached = pl.DataFrame(
        {"doc_id": used_ids, "probability": probability, "density": density, "distance": nearest}
    ).sort("doc_id")
    noise = np.random.default_rng(problem.seed).gumbel(size=reached.height)
    drawn = reached.with_columns(noise=pl.Series(noise)).filter(pl.col("probability") > 0)
    ranking = drawn.select(
        "doc_id",
        score=-(pl.col("probability").log() + pl.col("noise")),
        step=pl.lit(1, dtype=pl.Int32),
        reason=pl.format("probability {}, density {}", _rounded("probability"), _rounded("density")),
    )
    return pl.concat([ranking, _rest(problem, ranking)])


def assignment(distances: Array, density: Array, alpha: float, scale: float) -> Array:
    """The plan γ (M, K) of M target documents over their K nearest candidates.

    With every entry at most t/ρ_j the cheapest plan fills the nearest candidates first. Lowering t moves mass to
    farther ones; it pays until the cost of that, α/C times the derivative of Σ γ d, exceeds (1−α)·M. Both change only
    where some row has filled one more candidate, so the best t is found among these.

    Args:
        distances: (M, K), ascending in each row.
        density: (M, K), ρ of the same candidates.
        alpha: weight of the cost.
        scale: C.
    """
    share = 1 / density
    filled = share.cumsum(axis=1)
    # At s = 1/(M·t) row i has filled its k nearest; what one more unit of s costs it.
    marginal = distances[:, 1:] * filled[:, :-1] - (distances * share).cumsum(axis=1)[:, :-1]
    steps = np.diff(marginal, axis=1, prepend=0.0)
    order = np.argsort(filled[:, :-1], axis=None, kind="stable")
    total = steps.ravel()[order].cumsum()
    stop = np.flatnonzero(alpha / scale * total >= (1 - alpha) * len(distances))
    events = filled[:, :-1].ravel()[order]
    # No row may spread over more than all of its neighbours.
    s = min(events[stop[0]] if len(stop) else np.inf, filled[:, -1].min())
    before = filled - share
    plan: Array = np.clip(np.minimum(share, s - before), 0.0, None) / (s * len(distances))
    return plan


def kernel_density(vectors: Array, sigma: float, neighbours: int) -> Array:
    """Σ_k max(0, 1 − d²/σ²) over the `neighbours` nearest rows of `vectors` (n, D), itself included; at least 1."""
    import faiss

    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    squared, _ = faiss.knn(rows, rows, min(neighbours, len(rows)))
    # The row itself has distance 0 up to rounding, whichever copy of it comes first.
    density: Array = np.clip(1 - squared.astype(np.float64) / sigma**2, 0.0, 1.0).sum(axis=1)
    return np.maximum(density, 1.0)


def _nearest(problem: SelectionProblem, k: int) -> tuple[pl.DataFrame, Array, Array]:
    """All candidates that may be selected; distances (M, K) to each target's nearest, ascending; and their rows there."""
    import faiss

    target = np.ascontiguousarray(problem.target, dtype=np.float32)
    allowed = problem.scores.select("doc_id")
    frames: list[pl.DataFrame] = []
    distances, rows = np.empty((len(target), 0), dtype=np.float32), np.empty((len(target), 0), dtype=np.int64)
    start = 0
    for shard in problem.pool:
        frame = pl.DataFrame({"doc_id": shard.doc_ids}).with_row_index("row")
        frame = frame.join(allowed, on="doc_id", how="semi", maintain_order="left")
        if not frame.height:
            continue
        vectors = np.ascontiguousarray(shard.vectors[frame["row"].to_numpy()], dtype=np.float32)
        squared, index = faiss.knn(target, vectors, min(k, len(vectors)))
        distances = np.concatenate([distances, squared], axis=1)
        rows = np.concatenate([rows, index + start], axis=1)
        best = np.argsort(distances, axis=1, kind="stable")[:, :k]
        distances, rows = np.take_along_axis(distances, best, 1), np.take_along_axis(rows, best, 1)
        frames.append(frame)
        start += frame.height
    return pl.concat(frames), np.sqrt(np.maximum(distances.astype(np.float64), 0)), rows


def _rest(problem: SelectionProblem, ranking: pl.DataFrame) -> pl.DataFrame:
    from gotd_assets.selection.methods.neighbours import nearest_neighbours

    return (
        pl.concat(nearest_neighbours(problem))
        .join(ranking, on="doc_id", how="anti")
        .select(
            "doc_id",
            "score",
            step=pl.lit(2, dtype=pl.Int32),
            reason=pl.lit("no probability; by distance to the target"),
        )
    )


def _rounded(column: str) -> pl.Expr:
    return pl.col(column).round_sig_figs(3)
