"""Candidates that are texts of a target: every one, exactly or nearly."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.duplicates.found import Found, examples
from gotd_assets.corpus.duplicates.rows import DocumentRows
from gotd_assets.corpus.duplicates.shingles import ShingleIndex, shingles
from gotd_assets.corpus.report import ProgressMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import polars as pl

    from gotd_assets.corpus.shards import DocumentShard
    from gotd_assets.execution.engine import Engine
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.texts import DuplicateSettings

    Rows = npt.NDArray[np.int64]

# Of the smaller side, whose shingles are held, at a time.
_INDEXED_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class ContaminationReport:
    """How many candidates are texts of the target (`found`), by kind and source, with a few examples."""

    found: int
    exact: int
    near: int
    documents: int
    by_source: dict[str, int]
    examples: list[dict[str, Json]]

    def as_summary(self) -> dict[str, Json]:
        """The counts as JSON."""
        return dataclasses.asdict(self)


def find_contamination(
    documents: Mapping[str, Path],
    references: Sequence[Path],
    settings: DuplicateSettings,
    out: Path,
    *,
    progress: Callable[[object], None] | None = None,
    engine: Engine | None = None,
) -> ContaminationReport:
    """Write to the Parquet file `out` which candidates are, exactly or nearly, texts of the `references`.

    `references` are folders of shards (a target's train and held-out side), possibly without rows. Columns: doc_id,
    source (the first that has it), reason ('target'), matched_doc_id (the most similar reference), kind, similarity;
    one row per doc_id. No near-duplicate is missed. The file has no row if `settings.contamination` is off.

    Raises:
        InputError: a folder holds no shard.
    """
    import polars as pl

    pool = DocumentRows.open(documents if settings.contamination else {}, engine)
    known = DocumentRows.open({str(path): path for path in references} if settings.contamination else {}, engine)
    meter = ProgressMeter("contamination", pool.size, progress)
    same: dict[str, tuple[int, int]] = {}
    similar: dict[int, tuple[float, int]] = {}
    for met in _met(pool, known, settings, meter):
        for doc_id, row, matched in met.same:
            first, earliest = same.get(doc_id, (row, matched))
            same[doc_id] = min(first, row), min(earliest, matched)
        for row, matched, similarity in met.similar:
            # The most similar, and of those the earliest.
            similar[row] = min(similar.get(row, (0.0, matched)), (-similarity, matched))
    best: dict[str, tuple[float, int, int]] = {}
    for rows, doc_ids in pool.values("doc_id", np.array(sorted(similar), np.int64)):
        for row, doc_id in zip(rows.tolist(), doc_ids, strict=True):
            if doc_id not in same:
                found = (*similar[row], row)
                best[doc_id] = min(best.get(doc_id, found), found)
    exact = Found.of([(row, matched, 1.0) for row, matched in sorted(same.values())])
    near = Found.of(sorted((row, matched, -opposite) for opposite, matched, row in best.values()))
    meter.update(len(pool), pool.size, final=True)
    result = pl.concat([exact.named(pool, known, "exact"), near.named(pool, known, "near")])
    result.select(
        "doc_id", "source", pl.lit("target").alias("reason"), "matched_doc_id", "kind", "similarity"
    ).write_parquet(out)
    return ContaminationReport(
        found=result.height,
        exact=len(exact.rows),
        near=len(near.rows),
        documents=len(pool),
        by_source=pool.count(result),
        examples=examples(result, exact + near, pool, known),
    )


@dataclasses.dataclass(frozen=True)
class _Met:
    """What a shard has in common with some known texts.

    Attributes:
        same: doc_id, row and matched row of equal texts.
        similar: row, matched row and similarity.
    """

    same: list[tuple[str, int, int]]
    similar: list[tuple[int, int, float]]


def _met(pool: DocumentRows, known: DocumentRows, settings: DuplicateSettings, meter: ProgressMeter) -> Iterator[_Met]:
    """Every row of `pool` with every row of `known` that has the same text, or one that reaches the threshold.

    The ids and shingles of the smaller side are held, so much of it at a time; the other streams by, once for each time.
    """
    is_swapped = pool.size < known.size
    held, streamed = (pool, known) if is_swapped else (known, pool)
    rows = np.arange(len(held))
    times = (
        np.split(rows, np.flatnonzero(np.diff(held.sizes(rows).cumsum() // _INDEXED_BYTES)) + 1) if len(rows) else []
    )
    done = 0
    for time in times:
        for shard, met in streamed.mapped(_Meeting.with_rows(held, time, settings), "contamination"):
            done += shard.size
            share = done / (streamed.size * len(times))
            meter.update(int(len(pool) * share), pool.size * share)
            yield _Met(
                [(doc_id, *_in_order(shard.first + row, index, is_swapped)) for doc_id, row, index in met.same],
                [(*_in_order(shard.first + row, index, is_swapped), alike) for row, index, alike in met.similar],
            )


def _in_order(streamed: int, held: int, is_swapped: bool) -> tuple[int, int]:
    return (held, streamed) if is_swapped else (streamed, held)


@dataclasses.dataclass(frozen=True)
class _Meeting:
    """Compares documents with some that are held.

    Attributes:
        rows: of those that are held.
        doc_ids: theirs.
        index: of their shingles, None if only equal ones are asked for.
        threshold: of similarity.
    """

    rows: Rows
    doc_ids: pl.Series
    index: ShingleIndex | None
    threshold: float

    @classmethod
    def with_rows(cls, held: DocumentRows, rows: Rows, settings: DuplicateSettings) -> _Meeting:
        """A meeting with those `rows`, ascending, of `held`."""
        parts = (part for _, texts in held.values("text", rows) for part in shingles(texts))
        index = ShingleIndex(list(parts)) if settings.near else None
        return cls(rows, held.named(rows).get_column("doc_id"), index, settings.jaccard)

    def __call__(self, shard: DocumentShard) -> _Met:
        """Rows of `shard`, counted from its first, with rows of those held."""
        import polars as pl

        index = self.index
        documents = read_parquet(shard.path, columns=["doc_id"] if index is None else ["doc_id", "text"])
        held = pl.DataFrame({"doc_id": self.doc_ids, "held": self.rows})
        same = documents.select("doc_id").with_row_index("row").join(held, on="doc_id").select("doc_id", "row", "held")
        similar: list[tuple[int, int, float]] = []
        if index is not None:
            begin = 0
            for part in shingles(documents.get_column("text")):
                found = index.similar(part, self.threshold)
                similar += [(begin + text, int(self.rows[place]), similarity) for text, place, similarity in found]
                begin += len(part)
        return _Met(same.rows(), similar)
