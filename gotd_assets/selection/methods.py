"""Selection methods: from a scored pool to a ranking, all behind one protocol.

A method looks at a `SelectionProblem` and returns a frame with `doc_id` and `score`, best first; the lower the score
the better. Ties break by `doc_id`, so that the same problem gives the same ranking on every machine.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.selection.pool import Pool


@dataclasses.dataclass(frozen=True)
class SelectionProblem:
    """What a method may look at.

    Attributes:
        scores: candidates that may be selected: doc_id, source, score (calibrated gradient of the transport cost).
        pool: vectors of the candidates.
        target: (M, D) vectors of the target's documents, one row each.
        budget: how many documents to select.
        seed: for methods that draw.
    """

    scores: pl.DataFrame
    pool: Pool
    target: npt.NDArray[Any]
    budget: int
    seed: int


Method: TypeAlias = Callable[[SelectionProblem], pl.DataFrame]


def gotd(problem: SelectionProblem) -> pl.DataFrame:
    """GOT-D: the most negative gradients of the transport cost (Kang et al. 2024, Theorem 1)."""
    return problem.scores.select("doc_id", "score")


def gotd_away(problem: SelectionProblem) -> pl.DataFrame:
    """GOT-D 'contrast': the most positive gradients, away from a target of unwanted text."""
    return problem.scores.select("doc_id", -pl.col("score"))


def random(problem: SelectionProblem) -> pl.DataFrame:
    """Uniformly at random, the baseline that every method has to beat."""
    draws = np.random.default_rng(problem.seed).random(problem.scores.height)
    return problem.scores.sort("doc_id").select("doc_id", score=pl.Series(draws))


def nearest_neighbours(problem: SelectionProblem) -> pl.DataFrame:
    """TAPT/c: candidates nearest to any target document (squared distance to the nearest one)."""
    import faiss

    index = faiss.IndexFlatL2(problem.target.shape[1])
    index.add(np.ascontiguousarray(problem.target, dtype=np.float32))
    frames = []
    for shard in problem.pool:
        distances, _ = index.search(np.ascontiguousarray(shard.vectors, dtype=np.float32), 1)
        frames.append(pl.DataFrame({"doc_id": shard.doc_ids, "score": distances[:, 0].astype(np.float64)}))
    return pl.concat(frames).join(problem.scores.select("doc_id"), on="doc_id", how="semi")


METHODS: Mapping[str, Method] = {
    "gotd": gotd,
    "gotd-away": gotd_away,
    "random": random,
    "tapt-c": nearest_neighbours,
}


def method_for(name: str, direction: str) -> str:
    """The method that `name` means for a target of that direction: away from a target, 'gotd' is 'gotd-away'."""
    return "gotd-away" if (name, direction) == ("gotd", "away") else name


def method_named(name: str) -> Method:
    """The method registered as `name`.

    Raises:
        InputError: there is none.
    """
    if name not in METHODS:
        raise InputError(f"selection.methods: there is no method {name!r}; known are: {', '.join(sorted(METHODS))}")
    return METHODS[name]


def select(name: str, problem: SelectionProblem) -> pl.DataFrame:
    """The `problem.budget` best documents by method `name`: doc_id, score, rank (from 1), best first.

    Raises:
        InputError: the method is unknown, or the budget exceeds the candidates that may be selected.
    """
    method = method_named(name)
    available = problem.scores.height
    if problem.budget > available:
        raise InputError(
            f"selection.budget is {problem.budget}, but only {available} candidates may be selected: "
            "lower the budget or add sources"
        )
    ranking = method(problem).sort("score", "doc_id").head(problem.budget)
    return ranking.with_columns(rank=pl.int_range(1, ranking.height + 1, dtype=pl.Int64))
