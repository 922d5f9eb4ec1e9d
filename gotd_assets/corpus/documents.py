"""From the files of a source or target to clean, distinct documents in shards."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import json
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.corpus.files import ROW_BITS, entry_label, find_files, origins
from gotd_assets.corpus.prepare import Prepared, Preparer, missing_field
from gotd_assets.corpus.records import Portion, portions
from gotd_assets.corpus.report import LENGTH_EDGES, ProgressMeter, ReadReport
from gotd_assets.corpus.seen import DIGEST_BYTES, SeenTexts
from gotd_assets.corpus.shards import COLUMNS, ShardWriter, document_schema
from gotd_assets.corpus.text import Joined, Joiner
from gotd_assets.corpus.workers import map_in_processes, processors
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import Json
from gotd_assets.settings import EncoderSettings, PreparationSettings, SourceSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TextIO

    import polars as pl

    from gotd_assets.corpus.copies import RemoteFiles
    from gotd_assets.corpus.files import InputFile

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
) -> ReadReport:
    """Read `entry` into the folder `out`: document shards, quarantine.jsonl and duplicates.parquet.

    The order of documents is that of files and rows; the same input gives the same bytes, whatever the number of
    `workers` (processes that parse and clean; by default as many as there are processors, if the files are large
    enough, and one if there is a limit on records). Paths are relative to `root`; URLs need `remote`, which has their
    copies. Chunking by tokens needs `encoder`. `progress` receives objects whose str() is a line for the log.

    Raises:
        InputError: a path matches nothing, a file is empty, the text field is in no record, no record is usable, or
            the filter is not a condition on fields.
    """
    label = entry_label(entry)
    files = find_files(entry.path, entry.format, root, label, remote)
    preparer = Preparer(entry, preparation, files, root, encoder)
    sizes = [file.path.stat().st_size for file in files]
    if entry.limit is not None:
        workers = 1
    elif workers is None:
        workers = min(processors(), 1 + sum(sizes) // _BYTES_PER_PROCESS)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "quarantine.jsonl").open("w", encoding="utf-8") as quarantine:
        reading = _Reading(preparer, files, out, quarantine)
        meter = ProgressMeter(label, sum(sizes), progress)
        before = [0, *itertools.accumulate(sizes)]
        cut = portions(files, preparer.columns, entry.max_record_bytes)
        for portion, prepared in map_in_processes(preparer.prepare, cut, workers):
            reading.take(portion, prepared)
            number = portion.file.number
            part = portion.span[1] if portion.span else sizes[number] / 2
            meter.update(reading.writer.documents, before[number] + part)
        report = reading.finish()
        meter.update(reading.writer.documents, before[-1], final=True)
    return report


_Row = tuple["int | str | None", ...]


def read_target(
    target: TargetSettings,
    preparation: PreparationSettings,
    root: Path,
    out: Path,
    *,
    encoder: EncoderSettings | None = None,
    progress: Callable[[object], None] | None = None,
    remote: RemoteFiles | None = None,
    forgotten: Sequence[str] = (),
) -> dict[str, Json]:
    """Read `target` and split it into `out/train` and `out/heldout`, both folders of document shards.

    Whole texts are split, never their chunks: the side is told by a hash of original_id, so that it stays the same
    when texts are added. At least one document stays on the train side; a target with a single text has nothing held
    out (an empty shard, `heldout_documents` 0). With `holdout.path` those files are the held-out side, less texts
    that the train side has too. Documents whose doc_ids are `forgotten` are on neither side.

    Raises:
        InputError: as `read_documents`; or all documents are forgotten.
    """
    import polars as pl

    from gotd_assets.corpus.shards import iter_documents, scan_documents

    whole = out / "all"
    whole.mkdir(parents=True)
    summary = read_documents(
        target, preparation, root, whole, encoder=encoder, progress=progress, remote=remote
    ).as_summary()
    train, heldout = (ShardWriter(out / side, target.fields.keep) for side in ("train", "heldout"))
    remembered = ~pl.col("doc_id").is_in(pl.Series(sorted(forgotten), dtype=pl.String).implode())
    if target.holdout.path is None:
        originals = (
            scan_documents(whole).filter(remembered).select(pl.col("original_id").unique()).collect().to_series()
        )
        held = {original for original in originals if _fraction(original) < target.holdout.share}
        if target.holdout.share > 0 and len(originals) > 1:
            # With few documents chance may leave a side empty: the extreme document by hash goes there.
            ordered = sorted(originals, key=_fraction)
            held = (held or {ordered[0]}) - ({ordered[-1]} if len(held) == len(originals) else set())
        elif len(originals) == 1:
            held = set()
        ids = pl.Series(sorted(held), dtype=pl.String).implode()
        for documents in iter_documents(whole):
            train.add(documents.filter(remembered & ~pl.col("original_id").is_in(ids)))
            heldout.add(documents.filter(remembered & pl.col("original_id").is_in(ids)))
    else:
        apart = out / "apart"
        apart.mkdir()
        other = target.model_copy(update={"path": target.holdout.path})
        report = read_documents(other, preparation, root, apart, encoder=encoder, progress=progress, remote=remote)
        summary = {**summary, "heldout": report.as_summary()}
        known = scan_documents(whole).select("doc_id").collect()
        for documents in iter_documents(whole):
            train.add(documents.filter(remembered))
        for documents in iter_documents(apart):
            heldout.add(documents.filter(remembered).join(known, on="doc_id", how="anti", maintain_order="left"))
        (apart / "quarantine.jsonl").replace(out / "quarantine-heldout.jsonl")
        _remove(apart)
    train.close()
    heldout.close()
    for name in ("quarantine.jsonl", "duplicates.parquet"):
        (whole / name).replace(out / name)
    _remove(whole)
    if not train.documents:
        raise InputError(f"{entry_label(target)}: every text was forgotten (gotd forget): add others")
    return {**summary, "train_documents": train.documents, "heldout_documents": heldout.documents}


def _fraction(original_id: str) -> float:
    """A number in [0, 1) that depends on the text alone, and not on the order of doc_ids that ties break by."""
    digest = hashlib.blake2b(original_id.encode(), digest_size=8, person=b"holdout").digest()
    return int.from_bytes(digest, "big") / 2**64


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


class _Reading:
    """The state of one reading: counts, the documents seen, and where they go."""

    def __init__(self, preparer: Preparer, files: Sequence[InputFile], out: Path, quarantine: TextIO) -> None:
        entry = preparer.entry
        self.preparer = preparer
        self.entry = entry
        self.label = entry_label(entry)
        clash = [name for name in entry.fields.keep if name in COLUMNS]
        if clash:
            raise InputError(
                f"{self.label}.fields.keep {clash[0]!r} is the name of a column of every document: drop it"
            )
        self.files = files
        self.out = out
        self.quarantine = quarantine
        self.joiner = Joiner(preparer.preparation.chunk_size)
        self.writer = ShardWriter(out, entry.fields.keep)
        self.counts: collections.Counter[str] = collections.Counter()
        self.reasons: collections.Counter[str] = collections.Counter()
        self.lengths = np.zeros(len(LENGTH_EDGES), dtype=np.int64)
        self.seen = SeenTexts()
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
        self.counts.update(prepared.counts)
        if not self.writer.documents:
            self.fields_seen.update(prepared.fields)
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
            lengths=tuple(self.lengths.tolist()),
        )

    def _explain_nothing(self) -> None:
        missing = self.reasons[missing_field(self.entry)]
        if missing and missing == self.counts["read"] - self.counts["filtered"]:
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
        ids = documents.get_column("doc_id")
        digests = np.frombuffer(bytes.fromhex("".join(ids.to_list())), dtype=f"S{DIGEST_BYTES}")
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
