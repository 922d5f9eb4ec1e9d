"""A selection as files that people take away: the chosen texts with everything known about them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from gotd_assets.corpus.shards import scan_documents
from gotd_assets.embedding.vectors import open_vectors, unit_rows
from gotd_assets.selection.pool.pool import vectors_of


def open_target(documents: Path, embeddings: Path) -> tuple[pl.DataFrame, npt.NDArray[np.float32]]:
    """The target's documents that have a vector (doc_id, text) and, row by row, their vectors (M, D).

    Args:
        documents: folder of the target's documents, without the held-out ones.
        embeddings: folder of their vectors.
    """
    shards = open_vectors(embeddings)
    target = scan_documents(documents).select("doc_id", "text").collect()
    target = target.filter(pl.col("doc_id").is_in(shards.all_doc_ids().implode()))
    return target, vectors_of(target.get_column("doc_id"), shards)


def with_nearest_target(
    ranking: pl.DataFrame, vectors: npt.NDArray[Any], target: npt.NDArray[Any], target_documents: pl.DataFrame
) -> pl.DataFrame:
    """Add to `ranking` the doc_id, text and cosine similarity of the nearest target document.

    Args:
        ranking: one row per selected document.
        vectors: (n, D), row by row those of `ranking`.
        target: (M, D), row by row those of `target_documents`.
        target_documents: doc_id and text.
    """
    similarity = unit_rows(vectors) @ unit_rows(target).T
    nearest = similarity.argmax(axis=1)
    return ranking.with_columns(
        nearest_target=target_documents.get_column("doc_id").gather(nearest),
        nearest_target_text=target_documents.get_column("text").gather(nearest),
        nearest_target_similarity=pl.Series(similarity.max(axis=1)),
    )


def write_subset(ranking: pl.DataFrame, documents: Mapping[str, Path], out: Path) -> pl.DataFrame:
    """Write `subset.parquet` and `subset.jsonl` for the documents of `ranking`, best first, and return them.

    Args:
        ranking: doc_id, source, rank, score and what else should stand beside the text.
        documents: folder of documents by source.
        out: an existing folder.
    """
    texts = pl.concat(_texts(ranking, documents), how="diagonal")
    subset = ranking.join(texts, on=["doc_id", "source"], how="left", validate="1:1").sort("rank")
    first = ["doc_id", "text", "source", "origin", "rank", "score"]
    subset = subset.select(*first, pl.exclude(first))
    subset.write_parquet(out / "subset.parquet")
    subset.write_ndjson(out / "subset.jsonl")
    return subset


def _texts(ranking: pl.DataFrame, documents: Mapping[str, Path]) -> Iterable[pl.DataFrame]:
    for source, path in documents.items():
        wanted = ranking.filter(pl.col("source") == source).get_column("doc_id")
        if len(wanted):
            yield scan_documents(path).filter(pl.col("doc_id").is_in(wanted.implode())).collect()
