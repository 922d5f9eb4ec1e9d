"""Documents whose vectors are those of another, nearly: paraphrases and translations that shingles do not find."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.embedding.vectors import unit_rows
from gotd_assets.selection.pool.pool import Pool

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.fingerprint import Json

_BLOCK_ROWS = 2048
_EXACT_ROWS = 50_000
"""Pools up to this size are compared exactly."""
# Beyond, vectors are sorted into 4√N cells and each is compared with those of the nearest 16 cells.
_CELLS_PER_ROOT = 4
_PROBED_CELLS = 16
_TRAINING_ROWS_PER_CELL = 40
# The index holds half precision; what is this close to the threshold is decided on the vectors themselves.
_SLACK = 2e-3
_EXAMPLES = 5
_EXCERPT = 160
_SCHEMA = {
    **dict.fromkeys(("doc_id", "source", "matched_doc_id", "matched_source", "kind"), pl.String),
    "similarity": pl.Float64,
}


@dataclasses.dataclass(frozen=True)
class SimilarReport:
    """How many documents leave the pool because of their vectors.

    Attributes:
        rows: doc_id, source, matched_doc_id, matched_source (who stays), kind ('vector'), similarity (cosine).
        documents: how many were compared, by source.
        exact: whether each was compared with all that stay, or with those in the nearest cells of the index.
    """

    rows: pl.DataFrame
    documents: Mapping[str, int]
    exact: bool

    def as_summary(self, documents: Mapping[str, Path]) -> dict[str, Json]:
        """Counts, shares by source and examples, whose texts stand in the folders `documents`."""
        found = dict(self.rows.group_by("source").len().iter_rows())
        return {
            "vector": self.rows.height,
            "vector_by_source": {source: found.get(source, 0) for source in self.documents},
            "vector_rate_by_source": {
                source: found.get(source, 0) / count if count else 0.0 for source, count in self.documents.items()
            },
            "vector_search": "exact" if self.exact else "approximate",
            "vector_examples": self._examples(documents),
        }

    def _examples(self, documents: Mapping[str, Path]) -> list[Json]:
        chosen = self.rows.sort("similarity", "doc_id").head(_EXAMPLES)
        wanted = pl.concat([chosen["doc_id"], chosen["matched_doc_id"]]).implode()
        texts: dict[str, str] = {}
        for folder in documents.values() if chosen.height else ():
            found = scan_documents(folder).filter(pl.col("doc_id").is_in(wanted)).select("doc_id", "text").collect()
            texts |= {doc_id: text[:_EXCERPT] for doc_id, text in found.iter_rows()}
        return [
            {**row, "text": texts[row["doc_id"]], "matched_text": texts[row["matched_doc_id"]]}
            for row in chosen.iter_rows(named=True)
        ]


def find_similar(
    pool: Pool,
    cosine: float,
    *,
    progress: Callable[[object], None] | None = None,
    exact_rows: int = _EXACT_ROWS,
) -> SimilarReport:
    """Which documents of `pool` leave it, because one that stands before them and stays has nearly their vector.

    In the order of the pool, a document leaves if its cosine similarity to one that stays is at least `cosine`; it is
    said to repeat the most similar of those. Up to `exact_rows` documents each is compared with all that stay. Larger
    pools go into an inverted file of faiss (IVF, half precision), where those in the nearest 16 of 4√N cells are
    compared: about N·(4√N + 4√N)·D operations instead of N²·D/2, and what lies in other cells is missed. Every pair is
    decided on the vectors themselves. Memory is that of the vectors that stay in half precision (in single precision
    up to `exact_rows`), and a block of 2,048.
    """
    tell = progress or (lambda _: None)
    exact = pool.n_rows <= exact_rows
    names = pool.doc_ids()
    index = None
    kept: list[npt.NDArray[np.int64]] = []
    left: list[tuple[int, int, float]] = []
    for start, block in _blocks(pool):
        if index is None:
            index = _index(pool, block.shape[1], exact=exact)
        known = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
        before = _nearest_kept(index, known, block, pool, cosine)
        stays = np.ones(len(block), dtype=bool)
        inside = np.tril(block @ block.T, k=-1)
        suspects = np.flatnonzero((before[0] >= cosine) | (inside.max(axis=1, initial=-1) >= cosine))
        for row in suspects.tolist():
            own = np.where(stays[:row], inside[row, :row], -1.0)
            at = int(own.argmax()) if row else -1
            similarity, matched = (float(own[at]), start + at) if row else (-1.0, -1)
            if before[0][row] >= similarity:
                similarity, matched = float(before[0][row]), int(before[1][row])
            if similarity >= cosine:
                stays[row] = False
                left.append((start + row, matched, similarity))
        kept.append(start + np.flatnonzero(stays))
        index.add(block[stays])
        tell(f"vectors compared: {start + len(block):,} of {pool.n_rows:,} documents, {len(left):,} like another")
    rows = [row for row, _, _ in left]
    matches = [matched for _, matched, _ in left]
    frame = names[rows].with_columns(
        matched_doc_id=names["doc_id"][matches],
        matched_source=names["source"][matches],
        kind=pl.lit("vector"),
        similarity=pl.Series([similarity for _, _, similarity in left], dtype=pl.Float64),
    )
    counts = dict(names.group_by("source", maintain_order=True).len().iter_rows())
    return SimilarReport(frame.select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items()), counts, exact)


def leave_out_similar(
    embeddings: Mapping[str, Path],
    cosine: float,
    duplicates: Path,
    left_out: Path,
    *,
    progress: Callable[[object], None] | None = None,
) -> SimilarReport:
    """Compare the vectors of what is in the pool, and add what leaves it to both files.

    Args:
        embeddings: folders of vectors by source, in the order of the pool.
        cosine: similarity from which a document leaves.
        duplicates: Parquet file that `corpus.find_duplicates` wrote.
        left_out: Parquet file that `write_left_out` wrote.
        progress: is told how far the work is.
    """
    found = find_similar(Pool.open(embeddings, left_out), cosine, progress=progress)
    known = read_parquet(duplicates)
    pl.concat([known, found.rows.select(known.columns)]).write_parquet(duplicates)
    gone = found.rows.select("doc_id", "source", reason=pl.lit("duplicate"))
    pl.concat([read_parquet(left_out), gone]).write_parquet(left_out)
    return found


def _blocks(pool: Pool) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """The pool's vectors at length 1, a block at a time with the number of its first row."""
    start = 0
    for shard in pool:
        for begin in range(0, len(shard.doc_ids), _BLOCK_ROWS):
            part = unit_rows(shard.vectors[begin : begin + _BLOCK_ROWS])
            yield start, part
            start += len(part)


def _index(pool: Pool, dimension: int, *, exact: bool) -> Any:
    import faiss

    if exact:
        return faiss.IndexFlatIP(dimension)
    cells = int(_CELLS_PER_ROOT * pool.n_rows**0.5)
    rows = np.linspace(0, pool.n_rows - 1, min(pool.n_rows, cells * _TRAINING_ROWS_PER_CELL)).astype(np.int64)
    index: Any = faiss.index_factory(dimension, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.train(unit_rows(pool.take(np.unique(rows))))
    index.nprobe = _PROBED_CELLS
    return index


def _nearest_kept(
    index: Any, known: npt.NDArray[np.int64], block: npt.NDArray[np.float32], pool: Pool, cosine: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Cosine (n,) of each row of `block` with the nearest that stays, and its row in the pool; -1 where none is close."""
    similarity = np.full(len(block), -1.0, dtype=np.float32)
    matched = np.full(len(block), -1, dtype=np.int64)
    if not len(known):
        return similarity, matched
    approximate, place = index.search(block, 1)
    close = np.flatnonzero((approximate[:, 0] >= cosine - _SLACK) & (place[:, 0] >= 0))
    if len(close):
        matched[close] = known[place[close, 0]]
        similarity[close] = (block[close] * unit_rows(pool.take(matched[close]))).sum(axis=1)
    return similarity, matched
