"""Readers: from files of every format to batches of plain records, bad ones set aside with a reason.

A file is first cut into portions (`portions`), each of which any process can read by itself (`read_portion`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from gotd_assets.corpus.reading.csv_rows import cut_csv
from gotd_assets.corpus.reading.encodings import HEAD_BYTES, other_encoding
from gotd_assets.corpus.reading.lines import cut_json, cut_lines, read_lines, read_span, take_text
from gotd_assets.corpus.reading.portion import DAMAGED, EXCERPT, Batch, Damage, Portion, RowsRead, Wanted
from gotd_assets.corpus.reading.tables import cut_columns, read_tables

if TYPE_CHECKING:
    from gotd_assets.corpus.files.input_file import InputFile


_CUTTERS: dict[str, Callable[[InputFile, Sequence[str], int, RowsRead], Iterator[Portion]]] = {
    "jsonl": cut_lines,
    "json": cut_json,
    "csv": cut_csv,
    "tsv": cut_csv,
    "parquet": cut_columns,
    "arrow": cut_columns,
    "text-lines": cut_lines,
}
_IN_COLUMNS = ("parquet", "arrow")


def portions(files: Sequence[InputFile], wanted: Wanted) -> Iterator[Portion]:
    """Cut `files` into portions of some 16 MiB, the same whatever reads them.

    What cannot be read (the rest of a truncated archive, a file with a corrupt footer) becomes a `Problem`, and a
    `Damage` that says how much it is; the next file follows. Text formats give records {'text': …}.
    """
    texts = Batch("text")
    for number, file in enumerate(files):
        if file.format == "text":
            _read_text(file, texts, wanted.max_record_bytes)
            if texts.full or number + 1 == len(files) or files[number + 1].format != "text":
                yield Portion(file, batch=texts)
                texts = Batch("text")
            continue
        progress = RowsRead()
        try:
            if file.format not in _IN_COLUMNS:
                _refuse_other_encodings(_head(file))
            yield from _CUTTERS[file.format](file, wanted.columns, wanted.max_record_bytes, progress)
        except DAMAGED as error:
            yield Portion(file, batch=_damaged(Batch(file.format), file, progress, error))


def read_portion(portion: Portion, wanted: Wanted) -> Iterator[Batch]:
    """The records of `portion` in batches of at most 8192 records."""
    if portion.batch is not None:
        yield portion.batch
    elif portion.span is not None:
        yield from read_span(portion, wanted)
    elif portion.tables:
        yield from read_tables(portion)
    else:
        yield from read_lines(portion, wanted)


def _read_text(file: InputFile, batch: Batch, max_record_bytes: int) -> None:
    progress = RowsRead()
    try:
        with progress.open(file) as stream:
            content = stream.read(max_record_bytes + 1)
        _refuse_other_encodings(content[:HEAD_BYTES])
    except DAMAGED as error:
        _damaged(batch, file, progress, error)
        return
    batch.size += len(content)
    if len(content) > max_record_bytes:
        batch.add_problem(file, 1, "record larger than max_record_bytes", content[: 4 * EXCERPT])
    else:
        take_text(batch, file, 1, content)


def _head(file: InputFile) -> bytes:
    try:
        with file.open() as stream:
            # What comes at once: of a damaged archive there may be no more.
            return stream.read1(HEAD_BYTES)  # type: ignore[attr-defined,no-any-return]
    except DAMAGED:
        return b""


def _refuse_other_encodings(head: bytes) -> None:
    encoding = other_encoding(head)
    if encoding is not None:
        raise _OtherEncodingError(
            f"it is {encoding}, not UTF-8: convert it, as by iconv -f {encoding} -t UTF-8, or take it out"
        )


class _OtherEncodingError(ValueError):
    """A file is no UTF-8 at all."""


def _damaged(batch: Batch, file: InputFile, progress: RowsRead, error: BaseException) -> Batch:
    size = file.path.stat().st_size
    lost = size if isinstance(error, _OtherEncodingError) else progress.lost_bytes(size)
    where = f"after row {progress.row}: {error or type(error).__name__}"
    reason = "text in another encoding" if isinstance(error, _OtherEncodingError) else "file damaged or cut off"
    batch.add_problem(file, 0, reason, where)
    batch.damages.append(Damage(file.name, where, lost))
    return batch
