"""Parquet and Arrow files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gotd_assets.corpus.reading.portion import BATCH_RECORDS, DAMAGED, PORTION_BYTES, Batch, Portion, RowsRead
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile


def cut_parquet(
    file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead
) -> Iterator[Portion]:
    """Record batches of a Parquet file, with the columns that are needed."""
    import pyarrow.parquet as pq

    del max_record_bytes
    with pq.ParquetFile(file.path) as parquet:
        present = _present(file, columns, parquet.schema_arrow.names)
        yield from _cut_tables(file, parquet.iter_batches(batch_size=1024, columns=present), progress)


def cut_arrow(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    """Record batches of an Arrow file or stream, with the columns that are needed."""
    import pyarrow as pa

    del max_record_bytes
    with pa.memory_map(str(file.path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        present = _present(file, columns, reader.schema.names)
        parts = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else iter(reader)
        yield from _cut_tables(file, (part.select(present) for part in parts), progress)


def _present(file: InputFile, columns: Sequence[str], names: Sequence[str]) -> list[str]:
    present = [name for name in columns if name in names]
    if not present:
        raise InputError(
            f"{file.name}: no field {columns[0]!r}; it has: {', '.join(names)}: set fields.text to the one with the text"
        )
    return present


def _cut_tables(file: InputFile, tables: Iterator[Any], progress: RowsRead) -> Iterator[Portion]:
    held: list[Any] = []
    size = 0
    first = 1
    try:
        for table in tables:
            for start in range(0, table.num_rows, BATCH_RECORDS):
                part = table.slice(start, BATCH_RECORDS)
                held.append(part)
                size += part.nbytes
                progress.row += part.num_rows
                if size >= PORTION_BYTES:
                    yield Portion(file, tables=held, first_row=first)
                    held, size, first = [], 0, progress.row + 1
    except DAMAGED:
        if held:
            yield Portion(file, tables=held, first_row=first)
        raise
    if held:
        yield Portion(file, tables=held, first_row=first)


def read_tables(portion: Portion) -> Iterator[Batch]:
    """The records of a portion of record batches."""
    row = portion.first_row
    for table in portion.tables:
        records = table.to_pylist()
        begin = portion.file.position(row)
        yield Batch(portion.file.format, list(range(begin, begin + len(records))), records, size=table.nbytes)
        row += len(records)
