"""From the files of a source or target to clean, distinct documents in shards."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.artifacts.digests import SeenDigests, digests_of
from gotd_assets.corpus.files.input_file import ROW_BITS, entry_label, origins
from gotd_assets.corpus.files.paths import Found, find_files
from gotd_assets.corpus.reading.portion import Damage, Portion
from gotd_assets.corpus.reading.records import portions
from gotd_assets.corpus.report import LENGTH_EDGES, ProgressMeter, ReadReport
from gotd_assets.corpus.shards import COLUMNS, ShardWriter, document_schema
from gotd_assets.corpus.texts.clean import Joined, Joiner
from gotd_assets.corpus.texts.prepare import Prepared, Preparer, missing_field
from gotd_assets.errors import InputError
from gotd_assets.execution.engine import Engine, mapped
from gotd_assets.execution.processes import LocalEngine
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.texts import PreparationSettings, SourceSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import TextIO

    import polars as pl

    from gotd_assets.corpus.files.copies import RemoteFiles


# Starting a process takes about as long as reading this much.
_BYTES_PER_PROCESS = 24 * 2**20
_DUPLICATE_POSITIONS = ("doc_id", "position", "first")


def read_documents(
    entry: SourceSettings | TargetSettings,
    preparation: PreparationSettings,
    root: Path,
    out: Path,
    *,
    encoder: EncoderSettings | None = None,
    progress: Callable[[object], None] | None = None,
    workers: int | None = None,
    remote: RemoteFiles | None = None,
    engine: Engine | None = None,
) -> ReadReport:
    """Read `entry` into the folder `out`: document shards, quarantine.jsonl and duplicates.parquet.

    The order of documents is that of files and rows; the same input gives the same bytes, whatever the `engine` (by
    default processes of this machine) and the number of `workers` that parse and clean (by default as many as the
    engine has, if the files are large enough, and one if there is a limit on records). Paths are relative to `root`; URLs need `remote`, which has their
    copies. Chunking by tokens needs `encoder`. `progress` receives objects whose str() is a line for the log.

    Raises:
        InputError: a path matches nothing, a file is empty, the text field is in no record, no record is usable, or
            the filter is not a condition on fields.
    """
    label = entry_label(entry)
    found = find_files(entry.path, entry.format, root, label, remote, follow_links=entry.follow_links)
    files = found.files
    preparer = Preparer(entry, preparation, files, root, encoder)
    sizes = [file.path.stat().st_size for file in files]
    if entry.limit is not None:
        # Counted by one process, in order.
        engine, workers = LocalEngine(1), 1
    engine = engine or LocalEngine(workers)
    if workers is None:
        workers = 1 + sum(sizes) // _BYTES_PER_PROCESS
    out.mkdir(parents=True, exist_ok=True)
    with (out / "quarantine.jsonl").open("w", encoding="utf-8") as quarantine:
        reading = _Reading(preparer, found, out, quarantine)
        meter = ProgressMeter(label, sum(sizes), progress)
        before = [0, *itertools.accumulate(sizes)]
        cut = portions(files, preparer.wanted)
        for portion, prepared in mapped(engine, preparer.prepare, cut, name=f"read {entry.name}", workers=workers):
            reading.take(portion, prepared)
            number = portion.file.number
            part = portion.span[1] if portion.span else sizes[number] / 2
            meter.update(reading.writer.documents, before[number] + part)
        report = reading.finish()
        meter.update(reading.writer.documents, before[-1], final=True)
    return report


_Row = tuple["int | str | None", ...]


class _Reading:
    """The state of one reading: counts, the documents seen, and where they go."""

    def __init__(self, preparer: Preparer, found: Found, out: Path, quarantine: TextIO) -> None:
        entry = preparer.entry
        self.preparer = preparer
        self.entry = entry
        self.label = entry_label(entry)
        clash = [name for name in entry.fields.keep if name in COLUMNS]
        if clash:
            raise InputError(
                f"{self.label}.fields.keep {clash[0]!r} is the name of a column of every document: drop it"
            )
        self.files = found.files
        self.left_out = found.left_out
        self.damages: list[Damage] = []
        self.out = out
        self.quarantine = quarantine
        self.joiner = Joiner(preparer.preparation.chunk_size)
        self.writer = ShardWriter(out, entry.fields.keep)
        self.counts: collections.Counter[str] = collections.Counter()
        self.reasons: collections.Counter[str] = collections.Counter()
        self.lengths = np.zeros(len(LENGTH_EDGES), dtype=np.int64)
        self.seen = SeenDigests()
        self.duplicates: list[pl.DataFrame] = []
        self.fields_seen: set[str] = set()
        self.file = self.joined_file = self.rows_before = 0

    def take(self, portion: Portion, prepared: Prepared) -> None:
        """Write what is new of what a portion gave; portions come in order."""
        import polars as pl

        if portion.file.number != self.file:
            self.file, self.rows_before = portion.file.number, 0
        documents, problems = prepared.documents, prepared.problems
        if portion.span is not None:
            documents = documents.with_columns(pl.col("position") + self.rows_before)
            problems = [dataclasses.replace(problem, row=self.rows_before + problem.row) for problem in problems]
            self.rows_before += prepared.rows
        for problem in problems:
            self.reasons[problem.reason] += 1
            self.quarantine.write(json.dumps(dataclasses.asdict(problem)) + "\n")
        self.damages += prepared.damages
        self.counts.update(prepared.counts)
        if not self.writer.documents:
            self.fields_seen.update(name.encode(errors="backslashreplace").decode() for name in prepared.fields)
        self._write(self._joined(documents) if self.preparer.joins else documents)

    def finish(self) -> ReadReport:
        """Write what is left and sum up."""
        import polars as pl

        if self.preparer.joins:
            self._write(self._identified(self._flushed(self.joiner.flush())))
        self.writer.close()
        schema = dict(zip(_DUPLICATE_POSITIONS, (pl.String, pl.Int64, pl.Int64), strict=True))
        positions = pl.concat([pl.DataFrame(schema=schema), *self.duplicates])
        positions.select(
            "doc_id",
            origin=origins(positions["position"], self.files),
            kept_origin=origins(positions["first"], self.files),
        ).write_parquet(self.out / "duplicates.parquet")
        if not self.writer.documents:
            self._explain_nothing()
        return ReadReport(
            **{name: self.counts[name] for name in ("read", "filtered", "too_short", "unread", "chunks")},
            quarantined_by_reason=dict(self.reasons),
            duplicates=positions.height,
            kept=self.writer.documents,
            characters=self.counts["characters"],
            bytes=sum(file.path.stat().st_size for file in self.files),
            files=len(self.files),
            damaged=tuple(self.damages),
            left_out=tuple(self.left_out),
            lengths=tuple(self.lengths.tolist()),
        )

    def _explain_nothing(self) -> None:
        missing = self.reasons[missing_field(self.entry)]
        if missing and missing == self.counts["read"] - self.counts["filtered"]:
            if self.entry.fields.text in self.fields_seen:
                raise InputError(
                    f"{self.label}: the field {self.entry.fields.text!r} holds nothing (null) in any of {missing} records: "
                    f"set {self.label}.fields.text to the one that holds the text"
                )
            raise InputError(
                f"{self.label}: no record has the field {self.entry.fields.text!r}; the first has: "
                f"{', '.join(sorted(self.fields_seen))}: set {self.label}.fields.text to the one that holds the text"
            )
        reasons = ", ".join(f"{count} × {reason}" for reason, count in self.reasons.most_common(5))
        raise InputError(
            f"{self.label}: not one usable document in {self.counts['read']} record(s) ({self.counts['filtered']} left "
            f"out by the filter, {self.counts['too_short']} shorter than preparation.min_chars; {reasons or 'none bad'}): "
            "check the files, fields and filter"
        )

    def _joined(self, texts: pl.DataFrame) -> pl.DataFrame:
        """Short texts joined, within a file only, except where every file is one text; pieces stay as they are."""
        rows: list[_Row] = []
        for position, text, original, length, *kept in texts.iter_rows():
            file = self.files[position >> ROW_BITS]
            if original is not None or (file.number != self.joined_file and file.format != "text"):
                rows += self._flushed(self.joiner.flush())
            self.joined_file = file.number
            if original is None:
                rows += self._flushed(self.joiner.add(Joined(position, text, tuple(kept)), length))
            else:
                rows.append((position, text, original, *kept))
        return self._identified(rows)

    def _flushed(self, joined: Iterable[Joined]) -> list[_Row]:
        rows: list[_Row] = [(text.position, text.text, None, *text.kept) for text in joined]
        self.counts["chunks"] += len(rows)
        return rows

    def _identified(self, rows: list[_Row]) -> pl.DataFrame:
        import polars as pl

        kept = dict.fromkeys(self.entry.fields.keep, pl.String)
        schema = {"position": pl.Int64, "text": pl.String, "original_id": pl.String, **kept}
        return self.preparer.identify(pl.DataFrame(rows, schema=schema, orient="row"), self.counts)

    def _write(self, documents: pl.DataFrame) -> None:
        import polars as pl

        if not documents.height:
            return
        digests = digests_of(documents.get_column("doc_id").to_list())
        first, is_new = self.seen.meet(digests, documents.get_column("position").to_numpy())
        documents = documents.with_columns(first=pl.Series(first), is_new=pl.Series(is_new))
        repeated = documents.filter(~pl.col("is_new"))
        if repeated.height:
            self.duplicates.append(repeated.select(*_DUPLICATE_POSITIONS))
        documents = documents.filter("is_new")
        characters = documents.get_column("n_chars").to_numpy()
        self.counts["characters"] += int(characters.sum())
        classes = np.searchsorted(LENGTH_EDGES, characters, side="right") - 1
        self.lengths += np.bincount(classes, minlength=len(LENGTH_EDGES))
        self.writer.add(
            documents.with_columns(
                origins(documents.get_column("position"), self.files), source=pl.lit(self.entry.name)
            ).select(*document_schema(self.entry.fields.keep))
        )
