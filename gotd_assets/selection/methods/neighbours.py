"""TAPT/c: nearest neighbours of the target."""

import numpy as np
import polars as pl

from gotd_assets.selection.problem import SelectionProblem


def nearest_neighbours(problem: SelectionProblem) -> pl.DataFrame:
    """TAPT/c (Gururangan et al. 2020): candidates nearest to any target document (squared distance to the nearest)."""
    import faiss

    index = faiss.IndexFlatL2(problem.target.shape[1])
    index.add(np.ascontiguousarray(problem.target, dtype=np.float32))
    frames = []
    for shard in problem.pool:
        distances, _ = index.search(np.ascontiguousarray(shard.vectors, dtype=np.float32), 1)
        score = distances[:, 0].astype(np.float64) * problem.sign
        frames.append(pl.DataFrame({"doc_id": shard.doc_ids, "score": score}))
    return pl.concat(frames).join(problem.scores.select("doc_id"), on="doc_id", how="semi")
