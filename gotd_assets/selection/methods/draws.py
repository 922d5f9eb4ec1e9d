"""Baselines that draw at random: from everywhere, evenly from every source, from the nearest source."""

import numpy as np
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.selection.problem import SelectionProblem


def random(problem: SelectionProblem) -> pl.DataFrame:
    """Uniformly at random, the baseline that every method has to beat."""
    return _drawn(problem).select("doc_id", score="draw")


def all_domains(problem: SelectionProblem) -> pl.DataFrame:
    """The same number from every source, each at random; a source that runs out leaves its share to the others."""
    turn = pl.col("draw").rank("ordinal").over("source") - 1
    return _drawn(problem).select("doc_id", score=turn + pl.col("draw"))


def dapt(problem: SelectionProblem) -> pl.DataFrame:
    """DAPT (Gururangan et al. 2020): at random from the source nearest to the target by OT distance.

    When it runs out the next nearest follows; away from a target, the farthest comes first.

    Raises:
        InputError: the distance of a source is not known.
    """
    distances = problem.relevance or {}
    sources = problem.scores.get_column("source").unique().sort().to_list()
    for source in sources:
        if source not in distances:
            raise InputError(f"method 'dapt' needs the OT distance of source {source!r}: materialise domain_relevance")
    order = sorted(sources, key=lambda source: (problem.sign * distances[source], source))
    frame = pl.DataFrame(
        {
            "source": order,
            "place": range(len(order)),
            "reason": [f"source {source}, OT distance {distances[source]:.5g}" for source in order],
        }
    )
    return _drawn(problem).join(frame, on="source").select("doc_id", "reason", score=pl.col("place") + pl.col("draw"))


def _drawn(problem: SelectionProblem) -> pl.DataFrame:
    """doc_id, source and a number in [0, 1) that depends on the seed and the set of candidates, not on their order."""
    draws = np.random.default_rng(problem.seed).random(problem.scores.height)
    return problem.scores.select("doc_id", "source").sort("doc_id").with_columns(draw=pl.Series(draws))
