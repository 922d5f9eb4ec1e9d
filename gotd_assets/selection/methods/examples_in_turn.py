"""Round-robin over the target's examples, on any vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.selection.budget import Allowance
from gotd_assets.selection.problem import SelectionProblem

if TYPE_CHECKING:
    import numpy.typing as npt

_LEAST_KEPT = 64

Shard: TypeAlias = "tuple[pl.Series, npt.NDArray[Any]]"
"""doc_ids (n,) and, row by row, vectors (n, D)."""


def nearest_in_turn(problem: SelectionProblem) -> pl.DataFrame:
    """Target examples take turns; each takes the candidate nearest to it among those still there.

    As RDS+ selects for one task (Ivison et al. 2025, "Large-Scale Data Selection for Instruction Tuning"), there on weighted
    mean states of the model to be trained; 'A Critical Look at Targeted Instruction Selection' (2026) found it best at low
    budgets. Of each example only as many nearest are kept as it may need, more if they run out: memory goes by examples
    times budget, not by the pool.

    Raises:
        InputError: the target is one to stay away from, or the budget exceeds the candidates.
    """
    if problem.direction == "away":
        raise InputError("method 'round-robin' takes what is nearest in turns and cannot select away from a target")
    return in_turns(problem, problem.target, _Shards(problem))


class _Shards:
    """doc_ids and vectors of the pool, shard by shard, as often as they are asked for."""

    def __init__(self, problem: SelectionProblem) -> None:
        self._problem = problem

    def __iter__(self) -> Iterator[Shard]:
        return ((shard.doc_ids, np.asarray(shard.vectors)) for shard in self._problem.pool)


def in_turns(problem: SelectionProblem, target: npt.NDArray[Any], shards: Iterable[Shard]) -> pl.DataFrame:
    """What examples with vectors `target` (M, D) take in turns of the candidates with vectors in `shards`.

    The shards are gone through again if a list of nearest ones runs out.

    Raises:
        InputError: the budget exceeds the candidates.
    """
    wanted = documents_within(Allowance.of(problem))
    selectable = problem.scores.get_column("doc_id")
    kept = max(_LEAST_KEPT, 8 * -(-wanted // len(target)))
    while True:
        kept = min(kept, selectable.len())
        distances, doc_ids = _nearest(target, shards, selectable, kept)
        picked = _in_turn(distances, doc_ids, wanted)
        if picked is not None:
            return pl.DataFrame(
                {
                    "doc_id": [doc_id for doc_id, _, _ in picked],
                    "score": pl.Series(range(len(picked)), dtype=pl.Float64),
                    "reason": [f"turn of example {turn}, distance {distance:.5g}" for _, turn, distance in picked],
                }
            )
        kept *= 2


def documents_within(allowance: Allowance) -> int:
    """Documents that a budget reaches at most: of one in tokens, the shortest."""
    if allowance.lengths is None:
        return allowance.amount
    tokens = allowance.lengths.get_column("tokens").sort()
    return int((tokens.cum_sum() <= allowance.amount).sum())


def _nearest(
    target: npt.NDArray[Any], shards: Iterable[Shard], selectable: pl.Series, kept: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Squared distances and doc_ids (examples, kept) of the candidates nearest to each example, nearest first."""
    import faiss

    target = np.ascontiguousarray(target, dtype=np.float32)
    distances = np.empty((len(target), 0), dtype=np.float32)
    doc_ids = np.empty((len(target), 0), dtype=object)
    for all_ids, all_vectors in shards:
        may = all_ids.is_in(selectable.implode()).to_numpy()
        if not may.any():
            continue
        here = all_ids.to_numpy()[may]
        vectors = np.ascontiguousarray(all_vectors[may], dtype=np.float32)
        found, rows = faiss.knn(target, vectors, min(kept, len(here)))
        distances = np.concatenate([distances, found], axis=1)
        doc_ids = np.concatenate([doc_ids, here[rows]], axis=1)
        # By distance, then by doc_id.
        order = np.stack([np.lexsort((doc_ids[row].astype(str), distances[row])) for row in range(len(target))])
        distances = np.take_along_axis(distances, order, axis=1)[:, :kept]
        doc_ids = np.take_along_axis(doc_ids, order, axis=1)[:, :kept]
    return distances, doc_ids


def _in_turn(
    distances: npt.NDArray[np.float32], doc_ids: npt.NDArray[Any], wanted: int
) -> list[tuple[str, int, float]] | None:
    """Documents in the order in which they are taken, with whose turn it was and how far; None if a list ran out too early."""
    examples, kept = doc_ids.shape
    taken: set[str] = set()
    places = [0] * examples
    picked: list[tuple[str, int, float]] = []
    while len(picked) < wanted:
        turn = len(picked) % examples
        while places[turn] < kept and doc_ids[turn, places[turn]] in taken:
            places[turn] += 1
        if places[turn] == kept:
            return None
        doc_id = str(doc_ids[turn, places[turn]])
        taken.add(doc_id)
        picked.append((doc_id, turn, float(distances[turn, places[turn]])))
    return picked
