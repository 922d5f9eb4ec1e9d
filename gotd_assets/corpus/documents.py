"""Reading a source or target into clean, immutable shards of documents, with everything counted."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.corpus.files import display_name, find_files, format_of
from gotd_assets.corpus.preparation import chunked, clean, document_ids, has_words
from gotd_assets.corpus.records import read_records
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings import PreparationSettings, TextInputSettings

SHARD_ROWS = 50_000
_LENGTH_EDGES = [0, 50, 100, 200, 300, 400, 500, 600, 800, 1000, 1500, 2000, 4000, 8000, 1_000_000_000]


@dataclasses.dataclass(frozen=True)
class ReadProgress:
    """How far reading is: documents kept, bytes of files finished and to read, seconds since the start."""

    name: str
    kept: int
    bytes_done: int
    bytes_total: int
    seconds: float

    def __str__(self) -> str:
        rate = self.kept / self.seconds if self.seconds else 0.0
        left = self.seconds * (self.bytes_total / max(self.bytes_done, 1) - 1)
        return f"{self.name}: {self.kept:,} documents, {rate:,.0f}/s, about {left:.0f} s left"


@dataclasses.dataclass
class ReadReport:
    """Counts of one reading.

    Attributes:
        files: files read.
        bytes: their size on disk.
        read: records met, whether usable or not.
        unread: files that were left unread because of `limit` (their records are not counted).
        filtered: records left out by `filter`.
        quarantined_by_reason: unusable records by reason; each stands in quarantine.jsonl.
        too_short: documents below `min_chars`.
        chunks: documents after cutting and joining.
        duplicates: documents whose text came before in the same source; each stands in duplicates.parquet.
        kept: documents written.
        characters: their total length.
        originals: distinct uncut documents behind them.
    """

    files: int = 0
    bytes: int = 0
    read: int = 0
    unread: int = 0
    filtered: int = 0
    quarantined_by_reason: Counter[str] = dataclasses.field(default_factory=Counter)
    too_short: int = 0
    chunks: int = 0
    duplicates: int = 0
    kept: int = 0
    characters: int = 0
    originals: int = 0
    lengths: list[int] = dataclasses.field(default_factory=lambda: [0] * (len(_LENGTH_EDGES) - 1))

    @property
    def quarantined(self) -> int:
        """All unusable records."""
        return sum(self.quarantined_by_reason.values())

    def as_summary(self) -> dict[str, Json]:
        """Counts for manifests; the same reading gives the same summary."""
        last = max((i for i, count in enumerate(self.lengths) if count), default=0)
        longest = self.characters if self.kept == 1 else _LENGTH_EDGES[last] * 2 or _LENGTH_EDGES[1]
        edges = [*_LENGTH_EDGES[: last + 1], min(_LENGTH_EDGES[last + 1], longest)]
        return {
            **{name: getattr(self, name) for name in ("files", "bytes", "read", "unread", "filtered", "quarantined")},
            **{
                name: getattr(self, name)
                for name in ("too_short", "chunks", "duplicates", "kept", "characters", "originals")
            },
            "quarantined_by_reason": dict(sorted(self.quarantined_by_reason.items())),
            "length_histogram": {"edges": edges, "counts": self.lengths[: last + 1]},
        }


def read_documents(
    entry: TextInputSettings,
    preparation: PreparationSettings,
    root: Path,
    out: Path,
    *,
    measure: Callable[[str], int] = len,
    progress: Callable[[ReadProgress], None] | None = None,
) -> ReadReport:
    """Read `entry` into `out`: documents-*.parquet, quarantine.jsonl and duplicates.parquet.

    A document has doc_id (32 hex digits), text, source, origin (file:row, with '#part' for chunks), original_id (doc_id
    of the uncut text), n_chars, and the kept fields. The first of equal texts is kept. Order and bytes depend only on
    the files and settings.

    Args:
        entry: what to read.
        preparation: how to clean and cut.
        root: the project's folder.
        out: an existing empty folder.
        measure: length of a text for chunking; tokens of the encoder when `chunk_by` is 'tokens'.
        progress: called after every batch.

    Raises:
        InputError: no file, an empty file, an unknown format or field, or no usable document at all.
    """
    started = time.monotonic()
    files = find_files(entry, root)
    report = ReadReport()
    total_bytes = sum(file.stat().st_size for file in files)
    writer = _ShardWriter(out)
    seen: dict[str, str] = {}
    duplicates: list[tuple[str, str, str]] = []
    originals: set[str] = set()
    with (out / "quarantine.jsonl").open("w", encoding="utf-8") as quarantine:
        for position, file in enumerate(files):
            if entry.limit is not None and report.read >= entry.limit:
                report.unread = len(files) - position
                break
            name = display_name(file, root)
            report.files += 1
            report.bytes += file.stat().st_size
            for raw in read_records(file, format_of(entry, file), entry):
                batch = raw if entry.limit is None else raw.head(max(entry.limit - report.read, 0))
                if batch.height < raw.height or not batch.height:
                    report.unread = len(files) - position
                frame = _usable(batch, preparation, name, report, quarantine)
                documents = _documents(frame, entry, preparation, measure, origin=name, report=report)
                fresh = _first_occurrences(documents, seen, duplicates)
                originals.update(fresh.get_column("original_id").to_list())
                report.duplicates += documents.height - fresh.height
                report.kept += fresh.height
                _count_lengths(fresh, report)
                writer.add(fresh)
                if progress is not None:
                    progress(
                        ReadProgress(entry.name, report.kept, report.bytes, total_bytes, time.monotonic() - started)
                    )
                if report.unread:
                    break
    writer.close()
    report.originals = len(originals)
    pl.DataFrame(
        duplicates, schema={"doc_id": pl.String, "origin": pl.String, "kept_origin": pl.String}, orient="row"
    ).write_parquet(out / "duplicates.parquet")
    if report.kept == 0:
        raise InputError(_nothing_left(entry, report))
    return report


def iter_documents(path: Path, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """The shards of the documents in folder `path`, in order."""
    for shard in sorted(path.glob("documents-*.parquet")):
        yield pl.read_parquet(shard, columns=columns)


def scan_documents(path: Path) -> pl.LazyFrame:
    """All documents in folder `path`, lazily."""
    return pl.scan_parquet(sorted(path.glob("documents-*.parquet")))


def sample_documents(path: Path, size: int) -> pl.DataFrame:
    """A few documents of folder `path`, spread evenly: source, origin, n_chars, text."""
    frame = scan_documents(path).select("source", "origin", "n_chars", "text")
    rows = int(frame.select(pl.len()).collect().item())
    return frame.gather_every(max(1, rows // max(size, 1))).head(size).collect()


def write_documents(frame: pl.DataFrame, out: Path) -> None:
    """Write `frame` as the documents of folder `out`, which is made; an empty frame is one empty shard."""
    out.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, max(frame.height, 1), SHARD_ROWS)):
        frame.slice(first, SHARD_ROWS).write_parquet(out / f"documents-{number:05}.parquet")


def _usable(
    batch: pl.DataFrame, preparation: PreparationSettings, name: str, report: ReadReport, quarantine: object
) -> pl.DataFrame:
    report.read += batch.height
    report.filtered += batch.height - int(batch.get_column("kept").sum())
    batch = batch.filter("kept").with_columns(text=clean(pl.col("text"), preparation))
    reason = (
        pl.when(pl.col("reason").is_not_null())
        .then("reason")
        .when(pl.col("text") == "")
        .then(pl.lit("the text is empty"))
        .when(~has_words(pl.col("text")))
        .then(pl.lit("the text has no letters or digits"))
    )
    batch = batch.with_columns(reason=reason)
    bad = batch.filter(pl.col("reason").is_not_null())
    for row, why, excerpt, text in bad.select("row", "reason", "excerpt", "text").iter_rows():
        record = {"file": name, "row": row, "reason": why, "excerpt": excerpt or (text or "")[:200]}
        quarantine.write(json.dumps(record, ensure_ascii=False) + "\n")  # type: ignore[attr-defined]
        report.quarantined_by_reason[why.split(":")[0]] += 1
    return batch.filter(pl.col("reason").is_null())


def _documents(
    frame: pl.DataFrame,
    entry: TextInputSettings,
    preparation: PreparationSettings,
    measure: Callable[[str], int],
    *,
    origin: str,
    report: ReadReport,
) -> pl.DataFrame:
    frame = frame.with_columns(original_id=document_ids(frame.get_column("text")), part=pl.lit(0, pl.Int64))
    if preparation.chunk_by != "none":
        frame = chunked(frame.drop("part"), preparation, measure)
    report.chunks += frame.height
    long_enough = frame.filter(pl.col("text").str.len_chars() >= preparation.min_chars)
    report.too_short += frame.height - long_enough.height
    part = pl.when(pl.col("part") > 0).then(pl.format("#{}", "part")).otherwise(pl.lit(""))
    return long_enough.select(
        document_ids(long_enough.get_column("text")),
        "text",
        pl.lit(entry.name).alias("source"),
        pl.format("{}:{}{}", pl.lit(origin), "row", part).alias("origin"),
        "original_id",
        pl.col("text").str.len_chars().cast(pl.Int64).alias("n_chars"),
        *entry.fields.keep,
    )


def _first_occurrences(
    frame: pl.DataFrame, seen: dict[str, str], duplicates: list[tuple[str, str, str]]
) -> pl.DataFrame:
    keep = []
    for doc_id, origin in frame.select("doc_id", "origin").iter_rows():
        first = seen.setdefault(doc_id, origin)
        keep.append(first == origin)
        if first != origin:
            duplicates.append((doc_id, origin, first))
    return frame.filter(pl.Series(keep, dtype=pl.Boolean))


def _count_lengths(frame: pl.DataFrame, report: ReadReport) -> None:
    lengths = frame.get_column("n_chars").to_numpy()
    counts, _ = np.histogram(lengths, bins=_LENGTH_EDGES)
    report.lengths = [before + int(now) for before, now in zip(report.lengths, counts, strict=True)]
    report.characters += int(lengths.sum())


def _nothing_left(entry: TextInputSettings, report: ReadReport) -> str:
    why: Mapping[str, int] = {
        **report.quarantined_by_reason,
        "left out by filter": report.filtered,
        "shorter than min_chars": report.too_short,
    }
    reasons = ", ".join(f"{count} {reason}" for reason, count in why.items() if count)
    return f"{entry.name!r}: none of {report.read} records can be used ({reasons}); see its files and `preparation` in gotd.yaml"


class _ShardWriter:
    """Collects frames and writes shards of SHARD_ROWS."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._pending: list[pl.DataFrame] = []
        self._rows = 0
        self._written = 0

    def add(self, frame: pl.DataFrame) -> None:
        self._pending.append(frame)
        self._rows += frame.height
        while self._rows >= SHARD_ROWS:
            self._flush(SHARD_ROWS)

    def close(self) -> None:
        if self._rows:
            self._flush(self._rows)

    def _flush(self, rows: int) -> None:
        everything = pl.concat(self._pending)
        everything.head(rows).write_parquet(self._out / f"documents-{self._written:05}.parquet")
        self._pending = [everything.slice(rows)]
        self._rows -= rows
        self._written += 1
