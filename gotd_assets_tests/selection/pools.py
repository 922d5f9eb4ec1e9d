"""Pools, vectors and documents on disk, as the earlier stations leave them."""

from pathlib import Path

import numpy as np
import polars as pl

from gotd_assets.corpus.shards import ShardWriter
from gotd_assets.embedding.store import id_bytes
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.pool.pool import Pool


def write_vectors(folder: Path, names: list[str], vectors: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    ids = pl.Series([document_id(name) for name in names])
    np.save(folder / "vectors-00000.npy", vectors.astype(np.float32))
    np.save(folder / "ids-00000.npy", id_bytes(ids))
    return folder


def no_duplicates(folder: Path) -> Path:
    path = folder / "duplicates.parquet"
    pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String}).write_parquet(path)
    return path


def write_documents(folder: Path, source: str, texts: list[str]) -> Path:
    writer = ShardWriter(folder, [])
    ids = [document_id(text) for text in texts]
    writer.add(
        pl.DataFrame(
            {
                "doc_id": ids,
                "text": texts,
                "source": source,
                "origin": [f"{source}:{row}" for row in range(len(texts))],
                "original_id": ids,
                "n_chars": [len(text) for text in texts],
            }
        )
    )
    writer.close()
    return folder


def make_pool(folder: Path, sources: dict[str, tuple[list[str], np.ndarray]]) -> Pool:
    """A pool of `sources`: texts and vectors by name."""
    folder.mkdir(parents=True, exist_ok=True)
    folders = {
        name: write_vectors(folder / name / "vectors", texts, vectors) for name, (texts, vectors) in sources.items()
    }
    return Pool.open(folders, no_duplicates(folder))
