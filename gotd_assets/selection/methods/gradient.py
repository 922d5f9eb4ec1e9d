"""GOT-D: one step along the gradient of the transport cost (Kang et al. 2024, Theorem 1), and what derives from it."""

from collections.abc import Iterator

import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.selection.problem import SelectionProblem
from gotd_assets.selection.scoring import scored_shards


def gotd(problem: SelectionProblem) -> Iterator[pl.DataFrame]:
    """The most negative gradients of the transport cost; away from a target, the most positive ones."""
    return (part.select("doc_id", pl.col("score") * problem.sign) for part in problem.parts_of_scores())


def gotd_away(problem: SelectionProblem) -> Iterator[pl.DataFrame]:
    """'Contrast': the most positive gradients, away from a target of unwanted text, however it is declared."""
    return (part.select("doc_id", -pl.col("score")) for part in problem.parts_of_scores())


def gotd_debiased(problem: SelectionProblem) -> Iterator[pl.DataFrame]:
    """The gradient of the Sinkhorn divergence: the score less the self-potential of the law that the pool is drawn from.

    Entropic transport alone draws mass towards the middle of the target; the self-term takes that out (Feydy et al.
    2019), and with it what the pool's density adds. It costs a self-transport problem on a random sketch of the pool, in
    which no document is its own partner: that of the pool itself, where each is, is nearly constant at an ε small beside
    the distance of neighbours, and a sketch that counts its members as their own partners bars them.
    """
    potentials = problem.potentials
    if potentials is None:
        raise InputError("method 'gotd-debiased' needs the solved potentials")
    if potentials.self_sketch is None:
        potentials = potentials.debiased(problem.pool.vectors, seed=problem.seed)
    found = scored_shards(problem.pool, potentials, problem.engine)
    return problem.selectable(part.select("doc_id", pl.col("score") * problem.sign) for part in found)


def gotd_toward_and_away(problem: SelectionProblem) -> pl.DataFrame:
    """Toward this target and away from another: the difference of the two calibrated scores.

    Both scores are in units of transport cost and zero where a document neither helps nor harms, so their difference
    is the gradient of OT(·, target) − w·OT(·, away target). For the target to stay away from, it is 'gotd-away'.
    """
    if problem.away_scores is None:
        return pl.concat(gotd_away(problem))
    both = problem.scores.select("doc_id", "score").join(
        problem.away_scores.select("doc_id", away="score"), on="doc_id", how="left"
    )
    missing = both.get_column("away").null_count()
    if missing:
        raise InputError(
            f"{missing} candidates have no score against {problem.settings.away_target!r}: materialise candidate_scores "
            "of that target again"
        )
    toward, weight = pl.col("score") * problem.sign, problem.settings.away_weight
    return both.select(
        "doc_id",
        score=toward - weight * pl.col("away"),
        reason=pl.format("toward {}, away {}", toward.round(5), (-pl.col("away")).round(5)),
    )
