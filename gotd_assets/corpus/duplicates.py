"""Documents that leave the pool: those that another source has too, near-duplicates, and the target's own texts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.corpus.near import band_keys, candidate_pairs, cross_pairs, jaccard
from gotd_assets.corpus.report import ProgressMeter
from gotd_assets.corpus.shards import iter_documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings import DuplicateSettings

_EXAMPLES = 5
_EXCERPT = 160


@dataclasses.dataclass(frozen=True)
class DuplicateReport:
    """How many documents leave the pool as duplicates, by kind and source, with a few examples."""

    documents: dict[str, int]
    exact: dict[str, int]
    near: dict[str, int]
    examples: list[dict[str, Json]]

    def as_summary(self) -> dict[str, Json]:
        """The counts as JSON; `rate` is the share of each source's documents that leave."""
        rate = {
            source: (self.exact.get(source, 0) + self.near.get(source, 0)) / count if count else 0.0
            for source, count in self.documents.items()
        }
        return {
            "documents": sum(self.documents.values()),
            "exact": sum(self.exact.values()),
            "near": sum(self.near.values()),
            "exact_by_source": self.exact,
            "near_by_source": self.near,
            "rate_by_source": rate,
            "examples": self.examples,
        }


@dataclasses.dataclass(frozen=True)
class ContaminationReport:
    """How many candidates are texts of the target (`found`), by kind, with a few examples."""

    found: int
    exact: int
    near: int
    documents: int
    examples: list[dict[str, Json]]

    def as_summary(self) -> dict[str, Json]:
        """The counts as JSON."""
        return dataclasses.asdict(self)


def find_duplicates(
    documents: Mapping[str, Path],
    settings: DuplicateSettings,
    out: Path,
    *,
    progress: Callable[[object], None] | None = None,
) -> DuplicateReport:
    """Write to the Parquet file `out` which documents leave the pool, and for which kept one.

    `documents` maps each source, in declared order, to its folder of shards. Of equal or similar texts the first in
    that order stays. Columns: doc_id, source (who leaves), matched_doc_id, matched_source (who stays), kind ('exact' or
    'near'), similarity (1.0 or the Jaccard similarity of shingles). A document leaves at most once.

    Raises:
        InputError: a folder holds no shard.
    """
    import polars as pl

    pool = _load(documents, settings.jaccard if settings.near else None, "duplicates", progress)
    first = pl.col("source").first().over("doc_id")
    position = pl.int_range(pl.len()).over("doc_id")
    marked = pool.frame.with_columns(matched_source=first, position=position)
    exact = marked.filter(pl.col("position") > 0).select(
        "doc_id",
        "source",
        matched_doc_id="doc_id",
        matched_source="matched_source",
        kind=pl.lit("exact"),
        similarity=pl.lit(1.0),
    )
    near = _rows([])
    if settings.near:
        gone = (marked["position"] > 0).to_numpy()
        index = np.flatnonzero(~gone)
        pairs = candidate_pairs(pool.keys[index])
        similar = _similar(
            index[pairs["later"].to_numpy()], index[pairs["earlier"].to_numpy()], pool, pool, settings.jaccard
        )
        left: set[int] = set()
        rows = []
        for later, earlier, similarity in similar:
            if later not in left and earlier not in left:
                left.add(later)
                rows.append((*pool.names(later), *pool.names(earlier), "near", similarity))
        near = _rows(rows)
    result = pl.concat([exact, near])
    result.write_parquet(out)
    return DuplicateReport(
        documents={source: pool.frame.filter(pl.col("source") == source).height for source in documents},
        exact=_count(exact, documents),
        near=_count(near, documents),
        examples=_examples(result, pool, pool),
    )


def find_contamination(
    documents: Mapping[str, Path],
    references: Sequence[Path],
    settings: DuplicateSettings,
    out: Path,
    *,
    progress: Callable[[object], None] | None = None,
) -> ContaminationReport:
    """Write to the Parquet file `out` which candidates are, exactly or nearly, texts of the `references`.

    `references` are folders of shards (a target's train and held-out side), possibly without rows. Columns: doc_id,
    reason ('target'), matched_doc_id (the most similar reference), kind, similarity; one row per doc_id. The file has
    no row if `settings.contamination` is off.

    Raises:
        InputError: a folder holds no shard.
    """
    import polars as pl

    if not settings.contamination:
        _contaminated(_rows([])).write_parquet(out)
        return ContaminationReport(0, 0, 0, 0, [])
    threshold = settings.jaccard if settings.near else None
    known = _load({str(path): path for path in references}, threshold, "target texts", None)
    pool = _load(documents, threshold, "contamination", progress)
    unique = known.frame.unique("doc_id", keep="first", maintain_order=True).select("doc_id")
    hits = pool.frame.unique("doc_id", keep="first", maintain_order=True).join(
        unique, on="doc_id", how="semi", maintain_order="left"
    )
    exact = _rows(
        [(doc_id, source, doc_id, "", "exact", 1.0) for doc_id, source in hits["doc_id", "source"].iter_rows()]
    )
    near = _rows([])
    if settings.near:
        pairs = cross_pairs(pool.keys, known.keys)
        best: dict[str, tuple[object, ...]] = {}
        exact_ids = set(hits["doc_id"])
        for later, earlier, similarity in _similar(
            pairs["later"].to_numpy(), pairs["earlier"].to_numpy(), pool, known, settings.jaccard
        ):
            doc_id, source = pool.names(later)
            row = (doc_id, source, known.names(earlier)[0], "", "near", similarity)
            if doc_id not in exact_ids and (doc_id not in best or similarity > best[doc_id][5]):  # type: ignore[operator]
                best[doc_id] = row
        near = _rows(list(best.values()))
    result = pl.concat([exact, near])
    _contaminated(result).write_parquet(out)
    return ContaminationReport(
        result.height, exact.height, near.height, pool.frame.height, _examples(result, pool, known)
    )


@dataclasses.dataclass
class _Pool:
    frame: pl.DataFrame  # doc_id, source; in declared order
    keys: np.ndarray  # (n, bands), empty without near-duplicates
    folders: Mapping[str, Path]

    def names(self, row: int) -> tuple[str, str]:
        doc_id, source = self.frame.row(row)
        return doc_id, source

    def texts(self, doc_ids: pl.Series) -> dict[str, str]:
        """The texts of `doc_ids`."""
        import polars as pl

        wanted = doc_ids.unique().alias("doc_id").to_frame()
        found: dict[str, str] = {}
        for folder in self.folders.values():
            for part in iter_documents(folder, ["doc_id", "text"]):
                found.update(part.join(wanted, on="doc_id", how="semi").select(pl.col("doc_id", "text")).iter_rows())
        return found


def _load(
    folders: Mapping[str, Path], threshold: float | None, station: str, progress: Callable[[object], None] | None
) -> _Pool:
    import polars as pl

    total = sum(path.stat().st_size for folder in folders.values() for path in folder.glob("documents-*.parquet"))
    meter = ProgressMeter(station, total, progress)
    frames = [pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String})]
    keys = [band_keys([], threshold or 1.0)]
    count = done = 0
    for source, folder in folders.items():
        share = sum(path.stat().st_size for path in folder.glob("documents-*.parquet"))
        for part in iter_documents(folder, ["doc_id", "text"] if threshold else ["doc_id"]):
            frames.append(part.select("doc_id", source=pl.lit(source)))
            if threshold:
                for piece in part.iter_slices(5000):
                    keys.append(band_keys(piece["text"].to_list(), threshold))
                    count += piece.height
                    meter.update(count, done + share / 2)
        done += share
    frame = pl.concat(frames)
    meter.update(frame.height, total, final=True)
    return _Pool(frame, np.concatenate(keys), folders)


def _similar(
    later: np.ndarray, earlier: np.ndarray, pool: _Pool, others: _Pool, threshold: float
) -> list[tuple[int, int, float]]:
    """The pairs whose exact similarity reaches the threshold."""
    ids, other_ids = pool.frame["doc_id"], others.frame["doc_id"]
    texts = pool.texts(ids[later]) if len(later) else {}
    other_texts = others.texts(other_ids[earlier]) if len(later) else {}
    found = []
    for i, j in zip(later.tolist(), earlier.tolist(), strict=True):
        similarity = jaccard(texts[ids[i]], other_texts[other_ids[j]])
        if similarity >= threshold:
            found.append((i, j, similarity))
    return found


def _rows(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    import polars as pl

    names = ("doc_id", "source", "matched_doc_id", "matched_source", "kind")
    schema: dict[str, Any] = {**dict.fromkeys(names, pl.String), "similarity": pl.Float64}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def _contaminated(rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return rows.select("doc_id", pl.lit("target").alias("reason"), "matched_doc_id", "kind", "similarity")


def _count(rows: pl.DataFrame, sources: Mapping[str, Path]) -> dict[str, int]:
    counts = dict(rows.group_by("source").len().iter_rows())
    return {source: counts.get(source, 0) for source in sources}


def _examples(rows: pl.DataFrame, pool: _Pool, others: _Pool) -> list[dict[str, Json]]:
    import polars as pl

    chosen = rows.sort(pl.col("kind") == "exact", "similarity", "doc_id").head(_EXAMPLES)
    if not chosen.height:
        return []
    texts, matches = pool.texts(chosen["doc_id"]), others.texts(chosen["matched_doc_id"])
    return [
        {
            **row,
            "text": texts[row["doc_id"]][:_EXCERPT],
            "matched_text": matches[row["matched_doc_id"]][:_EXCERPT],
        }
        for row in chosen.iter_rows(named=True)
    ]
