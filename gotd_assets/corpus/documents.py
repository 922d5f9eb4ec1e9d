"""From the files of a source or target to clean, distinct documents in shards."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import json
from typing import TYPE_CHECKING, Any

from gotd_assets.corpus.conditions import Condition, field_value
from gotd_assets.corpus.files import entry_label, find_files
from gotd_assets.corpus.records import Batch, Problem, read_batches
from gotd_assets.corpus.report import LENGTH_EDGES, ProgressMeter, ReadReport, length_class
from gotd_assets.corpus.shards import COLUMNS, ShardWriter, document_schema
from gotd_assets.corpus.text import Joiner, clean_texts, cut_at_words
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import Json, document_id
from gotd_assets.settings import EncoderSettings, PreparationSettings, SourceSettings, TargetSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import TextIO

    from gotd_assets.corpus.files import InputFile

_NO_WORD = "the text has no letter and no digit"


def read_documents(
    entry: SourceSettings | TargetSettings,
    preparation: PreparationSettings,
    root: Path,
    out: Path,
    *,
    encoder: EncoderSettings | None = None,
    progress: Callable[[object], None] | None = None,
) -> ReadReport:
    """Read `entry` into the existing folder `out`: document shards, quarantine.jsonl and duplicates.parquet.

    The order of documents is that of files and rows; the same input gives the same bytes. Paths are relative to
    `root`. Chunking by tokens needs `encoder`. `progress` receives objects whose str() is a line for the log.

    Raises:
        InputError: a path matches nothing, a file is empty, the text field is in no record, no record is usable, or
            the filter is not a condition on fields.
    """
    label = entry_label(entry)
    files = find_files(entry.path, entry.format, root, label)
    if preparation.chunk_by == "tokens":
        from gotd_assets.corpus.tokens import token_cutter

        if encoder is None:
            raise InputError("preparation.chunk_by is 'tokens', but no encoder was given whose tokens to count")
        cut, length = token_cutter(encoder, root)
    else:
        cut, length = cut_at_words, len
    out.mkdir(parents=True, exist_ok=True)
    with (out / "quarantine.jsonl").open("w", encoding="utf-8") as quarantine:
        reading = _Reading(entry, preparation, out, quarantine, cut=cut, length=length)
        meter = ProgressMeter(label, sum(file.path.stat().st_size for file in files), progress)
        finished = 0
        for file in files:
            for batch in read_batches(file, reading.roots, entry.max_record_bytes):
                reading.take(batch)
                meter.update(reading.writer.documents, finished + file.path.stat().st_size / 2)
            reading.end_of_file(file)
            finished += file.path.stat().st_size
        report = reading.finish(files)
        meter.update(reading.writer.documents, finished, final=True)
    return report


def read_target(
    target: TargetSettings,
    preparation: PreparationSettings,
    root: Path,
    out: Path,
    *,
    encoder: EncoderSettings | None = None,
    progress: Callable[[object], None] | None = None,
) -> dict[str, Json]:
    """Read `target` and split it into `out/train` and `out/heldout`, both folders of document shards.

    Whole texts are split, never their chunks: the side is told by a hash of original_id, so that it stays the same
    when texts are added. At least one document stays on the train side; a target with a single text has nothing held
    out (an empty shard, `heldout_documents` 0). With `holdout.path` those files are the held-out side, less texts
    that the train side has too.

    Raises:
        InputError: as `read_documents`.
    """
    import polars as pl

    from gotd_assets.corpus.shards import iter_documents, scan_documents

    whole = out / "all"
    whole.mkdir(parents=True)
    summary = read_documents(target, preparation, root, whole, encoder=encoder, progress=progress).as_summary()
    train, heldout = (ShardWriter(out / side, target.fields.keep) for side in ("train", "heldout"))
    if target.holdout.path is None:
        originals = scan_documents(whole).select(pl.col("original_id").unique()).collect().to_series()
        held = {original for original in originals if _fraction(original) < target.holdout.share}
        if target.holdout.share > 0 and len(originals) > 1:
            # With few documents chance may leave a side empty: the extreme document by hash goes there.
            ordered = sorted(originals, key=_fraction)
            held = (held or {ordered[0]}) - ({ordered[-1]} if len(held) == len(originals) else set())
        elif len(originals) == 1:
            held = set()
        ids = pl.Series(sorted(held), dtype=pl.String).implode()
        for documents in iter_documents(whole):
            train.add(documents.filter(~pl.col("original_id").is_in(ids)))
            heldout.add(documents.filter(pl.col("original_id").is_in(ids)))
    else:
        apart = out / "apart"
        apart.mkdir()
        other = target.model_copy(update={"path": target.holdout.path})
        report = read_documents(other, preparation, root, apart, encoder=encoder, progress=progress)
        summary = {**summary, "heldout": report.as_summary()}
        known = scan_documents(whole).select("doc_id").collect()
        for documents in iter_documents(whole):
            train.add(documents)
        for documents in iter_documents(apart):
            heldout.add(documents.join(known, on="doc_id", how="anti", maintain_order="left"))
        (apart / "quarantine.jsonl").replace(out / "quarantine-heldout.jsonl")
        _remove(apart)
    train.close()
    heldout.close()
    for name in ("quarantine.jsonl", "duplicates.parquet"):
        (whole / name).replace(out / name)
    _remove(whole)
    return {**summary, "train_documents": train.documents, "heldout_documents": heldout.documents}


def _fraction(original_id: str) -> float:
    """A number in [0, 1) that depends on the text alone, and not on the order of doc_ids that ties break by."""
    digest = hashlib.blake2b(original_id.encode(), digest_size=8, person=b"holdout").digest()
    return int.from_bytes(digest, "big") / 2**64


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@dataclasses.dataclass
class _Text:
    text: str
    origin: str
    kept: dict[str, str | None]


class _Reading:
    """The state of one reading: counts, the documents seen, and where they go."""

    def __init__(
        self,
        entry: SourceSettings | TargetSettings,
        preparation: PreparationSettings,
        out: Path,
        quarantine: TextIO,
        *,
        cut: Callable[[str, int], list[str]],
        length: Callable[[str], int],
    ) -> None:
        self.entry = entry
        self.label = entry_label(entry)
        clash = [name for name in entry.fields.keep if name in COLUMNS]
        if clash:
            raise InputError(
                f"{self.label}.fields.keep {clash[0]!r} is the name of a column of every document: drop it"
            )
        self.condition = Condition(entry.filter, self.label) if entry.filter else None
        names = [entry.fields.text, *entry.fields.keep]
        # The plain name too: a field may have a dot in its own name.
        self.roots = list(
            dict.fromkeys(
                [*itertools.chain(*((name, name.split(".")[0]) for name in names))]
                + (self.condition.fields if self.condition else [])
            )
        )
        self.preparation = preparation
        self.out = out
        self.quarantine = quarantine
        self.cut = cut
        self.length = length
        self.joiner = Joiner(preparation.chunk_size, length)
        self.writer = ShardWriter(out, entry.fields.keep)
        self.counts: collections.Counter[str] = collections.Counter()
        self.reasons: collections.Counter[str] = collections.Counter()
        self.lengths = [0] * len(LENGTH_EDGES)
        self.first_origin: dict[bytes, str] = {}
        self.duplicates: list[tuple[str, str, str]] = []
        self.fields_seen: set[str] = set()
        self.taken = 0

    def take(self, batch: Batch) -> None:
        """Clean the records of a batch and write what is new."""
        left = len(batch.rows)
        if self.entry.limit is not None:
            left = min(left, self.entry.limit - self.taken)
            self.counts["unread"] += len(batch.rows) - left
            if left <= 0 and self.taken >= self.entry.limit:
                self.counts["unread"] += len(batch.problems)
                return
        rows, records = batch.rows[:left], batch.records[:left]
        self.taken += left
        self.counts["read"] += left + len(batch.problems)
        for problem in batch.problems:
            self._set_aside(problem)
        if self.condition is not None:
            rows, records = self._filter(batch.file, rows, records)
        if self.first_origin == {} and records:
            self.fields_seen.update(itertools.islice(records[0], 50))
        self._prepare(batch.file, rows, records)

    def end_of_file(self, file: InputFile) -> None:
        """Texts are joined within a file only, except where every file is one text."""
        if file.format != "text":
            self._write(self._joined(self.joiner.flush()))

    def finish(self, files: list[InputFile]) -> ReadReport:
        """Write what is left and sum up."""
        self._write(self._joined(self.joiner.flush()))
        import polars as pl

        self.writer.close()
        schema = {"doc_id": pl.String, "origin": pl.String, "kept_origin": pl.String}
        pl.DataFrame(self.duplicates, schema=schema, orient="row").write_parquet(self.out / "duplicates.parquet")
        if not self.writer.documents:
            self._explain_nothing()
        return ReadReport(
            **{name: self.counts[name] for name in ("read", "filtered", "too_short", "unread", "chunks")},
            quarantined_by_reason=dict(self.reasons),
            duplicates=len(self.duplicates),
            kept=self.writer.documents,
            characters=self.counts["characters"],
            bytes=sum(file.path.stat().st_size for file in files),
            files=len(files),
            lengths=tuple(self.lengths),
        )

    def _explain_nothing(self) -> None:
        missing = self.reasons[self._missing]
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

    @property
    def _missing(self) -> str:
        return f"no field {self.entry.fields.text!r}"

    def _set_aside(self, problem: Problem) -> None:
        self.reasons[problem.reason] += 1
        self.quarantine.write(json.dumps(dataclasses.asdict(problem)) + "\n")

    def _filter(
        self, file: InputFile, rows: list[int], records: list[dict[str, Any]]
    ) -> tuple[list[int], list[dict[str, Any]]]:
        verdicts = self.condition.keep(records) if self.condition else [True] * len(rows)
        chosen: tuple[list[int], list[dict[str, Any]]] = ([], [])
        for row, record, verdict in zip(rows, records, verdicts, strict=True):
            if verdict:
                chosen[0].append(row)
                chosen[1].append(record)
            elif verdict is None:
                self._set_aside(Problem(file.name, row, "filter cannot be evaluated", repr(record)[:200]))
            else:
                self.counts["filtered"] += 1
        return chosen

    def _prepare(self, file: InputFile, rows: list[int], records: list[dict[str, Any]]) -> None:
        import polars as pl

        field = "text" if file.format in ("text", "text-lines") else self.entry.fields.text
        good: list[tuple[int, dict[str, Any]]] = []
        texts: list[str] = []
        for row, record in zip(rows, records, strict=True):
            text = record.get(field) if field in record else field_value(record, field)
            if isinstance(text, str) and len(text) <= self.entry.max_record_bytes:
                good.append((row, record))
                texts.append(text)
            elif isinstance(text, str):
                self._set_aside(Problem(file.name, row, "record larger than max_record_bytes", text[:200]))
            elif text is None:
                self._set_aside(Problem(file.name, row, self._missing, repr(record)[:200]))
            else:
                reason = f"field {self.entry.fields.text!r} is not text"
                self._set_aside(Problem(file.name, row, reason, repr(text)[:200]))
        cleaned = clean_texts(pl.Series("text", texts, dtype=pl.String), self.preparation)
        wordless = ~cleaned.str.contains(r"[\p{L}\p{N}]")
        ready = []
        for (row, record), text, bare in zip(good, cleaned.to_list(), wordless.to_list(), strict=True):
            if not text:
                self.counts["too_short"] += 1
            elif bare:
                self._set_aside(Problem(file.name, row, _NO_WORD, text[:200]))
            else:
                kept = {name: _as_text(field_value(record, name)) for name in self.entry.fields.keep}
                ready.append(_Text(text, f"{file.name}:{row}", kept))
        self._write(self._chunked(ready))

    def _chunked(self, texts: Iterable[_Text]) -> Iterable[tuple[_Text, str | None]]:
        """Each text with the doc_id of what it was cut from (None: of itself)."""
        if self.preparation.chunk_by == "none":
            for text in texts:
                yield text, None
            return
        size = self.preparation.chunk_size
        for text in texts:
            pieces = self.cut(text.text, size)
            if len(pieces) > 1:
                yield from self._joined(self.joiner.flush())
                original = document_id(text.text)
                self.counts["chunks"] += len(pieces)
                for piece in pieces:
                    yield _Text(piece, text.origin, text.kept), original
            elif self.preparation.join_short:
                yield from self._joined(self.joiner.add(text.text, text.origin, text.kept))
            else:
                self.counts["chunks"] += 1
                yield text, None

    def _joined(self, joined: Iterable[tuple[str, str, dict[str, str | None]]]) -> Iterable[tuple[_Text, None]]:
        for text, origin, kept in joined:
            self.counts["chunks"] += 1
            yield _Text(text, origin, kept), None

    def _write(self, texts: Iterable[tuple[_Text, str | None]]) -> None:
        import polars as pl

        rows = []
        for item, original in texts:
            characters = len(item.text)
            if characters < self.preparation.min_chars:
                self.counts["too_short"] += 1
                continue
            digest = hashlib.blake2b(item.text.encode(), digest_size=16).digest()
            doc_id = digest.hex()
            first = self.first_origin.get(digest)
            if first is not None:
                self.duplicates.append((doc_id, item.origin, first))
                continue
            self.first_origin[digest] = item.origin
            self.counts["characters"] += characters
            self.lengths[length_class(characters)] += 1
            values = (doc_id, item.text, self.entry.name, item.origin, original or doc_id, characters)
            rows.append((*values, *item.kept.values()))
        if rows:
            self.writer.add(pl.DataFrame(rows, schema=document_schema(self.entry.fields.keep), orient="row"))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
