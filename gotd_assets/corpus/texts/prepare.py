"""From records to clean texts: filtered, normalised, cut and named; any process can do it for any portion."""

from __future__ import annotations

import collections
import dataclasses
import functools
import io
import itertools
import json
from typing import TYPE_CHECKING, Any

from gotd_assets.corpus.files.input_file import ROW_BITS, entry_label
from gotd_assets.corpus.reading.portion import Damage, Problem, Wanted
from gotd_assets.corpus.reading.records import read_portion
from gotd_assets.corpus.texts.clean import clean_texts, cut_at_words
from gotd_assets.corpus.texts.filters import Condition, field_value
from gotd_assets.corpus.texts.rendering import fields_in, rendered
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import polars as pl

    from gotd_assets.corpus.files.input_file import InputFile
    from gotd_assets.corpus.reading.portion import Batch, Portion
    from gotd_assets.settings.encoder import EncoderSettings
    from gotd_assets.settings.texts import PreparationSettings, SourceSettings, TargetSettings

_NO_WORD = "the text has no letter and no digit"
_FIELDS_SHOWN = 50
Records = tuple[list[int], list[dict[str, Any]]]


@dataclasses.dataclass
class Prepared:
    """What a portion gave.

    Attributes:
        documents: position, text, original_id (null: the text is whole), kept fields; then either doc_id and n_chars,
            or, if short texts are still to be joined, `length` in units of chunk_size.
        problems: records set aside, in order.
        counts: read, filtered, too_short, unread, chunks.
        damages: what was lost beside single records.
        rows: rows that the portion covers.
        fields: names of fields of its first records.
    """

    documents: pl.DataFrame
    problems: list[Problem]
    counts: collections.Counter[str]
    rows: int
    fields: list[str]
    damages: list[Damage] = dataclasses.field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        """With the documents as Arrow data, which goes between processes in less time than a pickled frame."""
        stream = io.BytesIO()
        self.documents.write_ipc(stream, compression="uncompressed")
        return {**vars(self), "documents": stream.getvalue()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import polars as pl

        vars(self).update({**state, "documents": pl.read_ipc(state["documents"])})


class Preparer:
    """Turns portions of the files of `entry` into texts; sent to another process, it is made there anew.

    Raises:
        InputError: the filter is no condition on fields, or chunking by tokens finds no tokenizer.
    """

    def __init__(
        self,
        entry: SourceSettings | TargetSettings,
        preparation: PreparationSettings,
        files: Sequence[InputFile],
        root: Path,
        encoder: EncoderSettings | None,
    ) -> None:
        self.entry = entry
        self.preparation = preparation
        self.condition = Condition(entry.filter, entry_label(entry)) if entry.filter else None
        self.joins = preparation.chunk_by != "none" and preparation.join_short
        self._files = files
        self._arguments = (entry, preparation, files, root, encoder)
        self._left = entry.limit
        self._cut: Callable[[str, int], list[str]] = cut_at_words
        self._length: Callable[[str], int] = len
        if preparation.chunk_by == "tokens":
            from gotd_assets.corpus.texts.tokens import token_cutter

            if encoder is None:
                raise InputError("preparation.chunk_by is 'tokens', but no encoder was given whose tokens to count")
            self._cut, self._length = token_cutter(encoder, root)

    def __reduce__(self) -> tuple[type[Preparer], tuple[Any, ...]]:
        """By its arguments: what cuts by tokens cannot be pickled."""
        return Preparer, self._arguments

    @property
    def columns(self) -> list[str]:
        """The top-level fields that are needed."""
        names = [*fields_in(self.entry.fields.text), *self.entry.fields.keep]
        # The plain name too: a field may have a dot in its own name.
        roots = itertools.chain.from_iterable((name, name.split(".")[0]) for name in names)
        return list(dict.fromkeys([*roots, *(self.condition.fields if self.condition else [])]))

    @functools.cached_property
    def wanted(self) -> Wanted:
        """What is needed of a record."""
        has_values = bool(self.entry.fields.keep) or self.condition is not None
        return Wanted(self.columns, self.entry.max_record_bytes, values=has_values)

    def prepare(self, portion: Portion) -> Prepared:
        """Read `portion`; with a limit, portions must come in order."""
        import polars as pl

        result = Prepared(pl.DataFrame(), [], collections.Counter(), 0, [])
        frames = [self._take(batch, result) for batch in read_portion(portion, self.wanted)]
        documents = pl.concat([self._nothing(), *frames])
        if not self.joins:
            documents = self.identify(documents.drop("length"), result.counts)
        result.documents = documents
        return result

    def identify(self, texts: pl.DataFrame, counts: collections.Counter[str]) -> pl.DataFrame:
        """Leave out what is too short; add n_chars and doc_id, which is also the original_id of a whole text."""
        import polars as pl

        texts = texts.with_columns(n_chars=pl.col("text").str.len_chars().cast(pl.Int64))
        enough = texts.filter(pl.col("n_chars") >= self.preparation.min_chars)
        counts["too_short"] += texts.height - enough.height
        ids = list(map(document_id, enough.get_column("text").to_list()))
        return enough.with_columns(doc_id=pl.Series(ids, dtype=pl.String)).with_columns(
            original_id=pl.col("original_id").fill_null(pl.col("doc_id"))
        )

    def _nothing(self) -> pl.DataFrame:
        import polars as pl

        kept = dict.fromkeys(self.entry.fields.keep, pl.String)
        columns = {"position": pl.Int64, "text": pl.String, "original_id": pl.String, "length": pl.Int64}
        return pl.DataFrame(schema={**columns, **kept})

    def _take(self, batch: Batch, result: Prepared) -> pl.DataFrame:
        records = batch.positions, batch.records
        result.rows += batch.rows
        result.damages += batch.damages
        if self._left is not None:
            size = len(batch.positions)
            taken = min(size, self._left)
            result.counts["unread"] += size - taken
            if self._left <= 0:
                result.counts["unread"] += len(batch.problems)
                return self._nothing()
            self._left -= taken
            records = batch.positions[:taken], batch.records[:taken]
        result.counts["read"] += len(records[0]) + len(batch.problems)
        result.problems += batch.problems
        if self.condition is not None:
            records = self._filter(self.condition, records, result)
        if records[1]:
            result.fields += itertools.islice(records[1][0], _FIELDS_SHOWN)
        return self._chunked(self._clean(batch.format, records, result), result)

    def _filter(self, condition: Condition, records: Records, result: Prepared) -> Records:
        chosen: Records = ([], [])
        for position, record, verdict in zip(*records, condition.keep(records[1]), strict=True):
            if verdict:
                chosen[0].append(position)
                chosen[1].append(record)
            elif verdict is None:
                self._set_aside(result, position, "filter cannot be evaluated", repr(record))
            else:
                result.counts["filtered"] += 1
        return chosen

    def _clean(self, form: str, records: Records, result: Prepared) -> pl.DataFrame:
        """Columns position, text, kept fields."""
        import polars as pl

        positions, rows, texts = self._texts("text" if form in ("text", "text-lines") else None, records, result)
        kept = {
            name: pl.Series([_as_text(field_value(row, name)) for row in rows], dtype=pl.String)
            for name in self.entry.fields.keep
        }
        cleaned = clean_texts(pl.Series("text", texts, dtype=pl.String), self.preparation)
        frame = pl.DataFrame({"position": pl.Series(positions, dtype=pl.Int64), "text": cleaned, **kept})
        is_empty = pl.col("text") == ""
        result.counts["too_short"] += frame.select(is_empty.sum()).item()
        has_word = pl.col("text").str.contains(r"[\p{L}\p{N}]")
        for position, text in frame.filter(~is_empty & ~has_word).select("position", "text").iter_rows():
            self._set_aside(result, position, _NO_WORD, text)
        return frame.filter(has_word)

    def _texts(
        self, column: str | None, records: Records, result: Prepared
    ) -> tuple[list[int], list[dict[str, Any]], list[str]]:
        field = column or self.entry.fields.text
        positions, rows = records
        limit = self.entry.max_record_bytes
        values: list[Any] = [row.get(field) for row in rows]
        # Nearly always all are fine, and then no record is looked at one by one.
        if all(type(value) is str and len(value) <= limit for value in values):
            return positions, rows, values
        good: tuple[list[int], list[dict[str, Any]], list[str]] = ([], [], [])
        for position, row in zip(positions, rows, strict=True):
            text = rendered(row, field)
            if isinstance(text, str) and len(text) <= limit:
                good[0].append(position)
                good[1].append(row)
                good[2].append(text)
            elif isinstance(text, str):
                self._set_aside(result, position, "record larger than max_record_bytes", text)
            elif text is None:
                self._set_aside(result, position, missing_field(self.entry), repr(row))
            else:
                self._set_aside(result, position, f"field {self.entry.fields.text!r} is not text", repr(text))
        return good

    def _chunked(self, texts: pl.DataFrame, result: Prepared) -> pl.DataFrame:
        """Columns as `_nothing`; a piece carries the doc_id of what it was cut from."""
        import polars as pl

        if self.preparation.chunk_by == "none":
            empty = pl.lit(None, dtype=pl.String).alias("original_id"), pl.lit(None, dtype=pl.Int64).alias("length")
            return texts.with_columns(*empty).select(self._nothing().columns)
        size = self.preparation.chunk_size
        rows: list[int] = []
        pieces: list[str] = []
        originals: list[str | None] = []
        lengths: list[int | None] = []
        for row, text in enumerate(texts.get_column("text").to_list()):
            cut = self._cut(text, size)
            is_whole = len(cut) <= 1
            cut = [text] if is_whole else cut
            rows += [row] * len(cut)
            pieces += cut
            originals += [None if is_whole else document_id(text)] * len(cut)
            lengths += [self._length(text) if is_whole and self.joins else None] * len(cut)
            if not (is_whole and self.joins):
                result.counts["chunks"] += len(cut)
        return (
            texts.drop("text")[rows]
            .with_columns(
                text=pl.Series(pieces, dtype=pl.String),
                original_id=pl.Series(originals, dtype=pl.String),
                length=pl.Series(lengths, dtype=pl.Int64),
            )
            .select(self._nothing().columns)
        )

    def _set_aside(self, result: Prepared, position: int, reason: str, excerpt: str) -> None:
        file, row = self._files[position >> ROW_BITS], position & ((1 << ROW_BITS) - 1)
        result.problems.append(Problem(file.name, row, reason, excerpt[:200]))


def missing_field(entry: SourceSettings | TargetSettings) -> str:
    """The reason for which a record without text is set aside."""
    return f"no field {entry.fields.text!r}"


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
