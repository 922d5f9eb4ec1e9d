"""Readers: from files of every format to batches of plain records, bad ones set aside with a reason.

A file is first cut into portions (`portions`), each of which any process can read by itself (`read_portion`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.corpus.reading.csv_rows import cut_csv
from gotd_assets.corpus.reading.lines import cut_json, cut_lines, read_lines, read_span, take_text
from gotd_assets.corpus.reading.portion import DAMAGED, EXCERPT, Batch, Portion, RowsRead
from gotd_assets.corpus.reading.tables import cut_arrow, cut_parquet, read_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile


def portions(files: Sequence[InputFile], columns: Sequence[str], max_record_bytes: int) -> Iterator[Portion]:
    """Cut `files` into portions of some 16 MiB, the same whatever reads them.

    `columns` are the top-level fields that columnar formats need to read. What cannot be read (the rest of a truncated
    archive, a file with a corrupt footer) becomes a `Problem`; the next file follows. Text formats give records
    {'text': …}.
    """
    cutters = {
        "jsonl": cut_lines,
        "json": cut_json,
        "csv": cut_csv,
        "tsv": cut_csv,
        "parquet": cut_parquet,
        "arrow": cut_arrow,
        "text-lines": cut_lines,
    }
    texts = Batch("text")
    for number, file in enumerate(files):
        if file.format == "text":
            _read_text(file, texts, max_record_bytes)
            if texts.full or number + 1 == len(files) or files[number + 1].format != "text":
                yield Portion(file, batch=texts)
                texts = Batch("text")
            continue
        progress = RowsRead()
        try:
            yield from cutters[file.format](file, columns, max_record_bytes, progress)
        except DAMAGED as error:
            broken = Batch(file.format)
            broken.add_problem(file, 0, "file damaged or cut off", f"after row {progress.row}: {error}")
            yield Portion(file, batch=broken)


def read_portion(portion: Portion, max_record_bytes: int) -> Iterator[Batch]:
    """The records of `portion` in batches of at most 8192 records."""
    if portion.batch is not None:
        yield portion.batch
    elif portion.span is not None:
        yield from read_span(portion, max_record_bytes)
    elif portion.tables:
        yield from read_tables(portion)
    else:
        yield from read_lines(portion, max_record_bytes)


def _read_text(file: InputFile, batch: Batch, max_record_bytes: int) -> None:
    try:
        with file.open() as stream:
            content = stream.read(max_record_bytes + 1)
    except DAMAGED as error:
        batch.add_problem(file, 0, "file damaged or cut off", f"after row 0: {error}")
        return
    batch.size += len(content)
    if len(content) > max_record_bytes:
        batch.add_problem(file, 1, "record larger than max_record_bytes", content[: 4 * EXCERPT])
    else:
        take_text(batch, file, 1, content)
