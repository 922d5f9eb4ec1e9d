"""TAPT/c: nearest neighbours of the target."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from gotd_assets.selection.pool.pool import Pool
from gotd_assets.selection.problem import SelectionProblem


def nearest_neighbours(problem: SelectionProblem) -> Iterator[pl.DataFrame]:
    """TAPT/c (Gururangan et al. 2020): candidates nearest to any target document (squared distance to the nearest)."""
    nearest = _Nearest(problem.pool, problem.target)
    found = problem.over_shards(nearest, range(len(problem.pool)), "neighbours")
    return problem.selectable(part.select("doc_id", pl.col("score") * problem.sign) for part in found)


class _Nearest:
    """doc_id and squared distance to the nearest target document, for every candidate of a shard of the pool."""

    def __init__(self, pool: Pool, target: npt.NDArray[Any]) -> None:
        self._pool = pool
        self._target = np.ascontiguousarray(target, dtype=np.float32)

    def __call__(self, number: int) -> pl.DataFrame:
        import faiss

        index = faiss.IndexFlatL2(self._target.shape[1])
        index.add(self._target)
        shard = self._pool[number]
        distances, _ = index.search(np.ascontiguousarray(shard.vectors, dtype=np.float32), 1)
        return pl.DataFrame({"doc_id": shard.doc_ids, "score": distances[:, 0].astype(np.float64)})
