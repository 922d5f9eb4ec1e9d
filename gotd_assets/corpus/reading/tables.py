"""Parquet and Arrow files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gotd_assets.corpus.reading.portion import PORTION_BYTES, Batch, Damage, Portion, RowsRead
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile


def cut_columns(
    file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead
) -> Iterator[Portion]:
    """Record batches of a Parquet or Arrow file, with the columns that are needed.

    Raises:
        InputError: it has none of them, or one twice.
        ValueError: it cannot be read.
    """
    import pyarrow as pa

    from gotd_assets.corpus.reading import columnar_reader as found
    from gotd_assets.corpus.reading.columnar import read_columns

    request = found.Request(os.fsencode(file.path), file.format == "parquet", tuple(columns), max_record_bytes)
    held = _Held(file)
    try:
        for answer in read_columns(request):
            match answer:
                case found.Columns():
                    _check(file, columns, answer.names)
                case found.Slice():
                    batch = pa.ipc.open_stream(answer.stream).read_next_batch()
                    yield from held.add(batch, answer.row)
                    progress.row = answer.row + batch.num_rows - 1
                case found.BadRow():
                    progress.row = answer.row
                    problems = Batch(file.format)
                    problems.add_problem(file, answer.row, answer.reason, answer.excerpt)
                    yield from held.flush()
                    yield Portion(file, batch=problems)
                case found.Lost():
                    broken = Batch(file.format)
                    broken.add_problem(file, 0, "file damaged or cut off", f"from row {answer.row} on: {answer.why}")
                    broken.damages.append(
                        Damage(file.name, f"from row {answer.row} on: {answer.why}", answer.size, answer.rows)
                    )
                    yield from held.flush()
                    yield Portion(file, batch=broken)
    except ValueError:
        # What was read before is not lost with the rest.
        yield from held.flush()
        raise
    yield from held.flush()


class _Held:
    """Record batches one after the other, until they are a portion."""

    def __init__(self, file: InputFile) -> None:
        self._file = file
        self._tables: list[Any] = []
        self._size = self._rows = 0
        self._first = 1

    def add(self, table: Any, row: int) -> Iterator[Portion]:
        """Take the batch that begins with `row`."""
        if row != self._first + self._rows or self._size >= PORTION_BYTES:
            yield from self.flush()
        if not self._tables:
            self._first = row
        self._tables.append(table)
        self._size += table.nbytes
        self._rows += table.num_rows

    def flush(self) -> Iterator[Portion]:
        """The portion of what is held."""
        if self._tables:
            yield Portion(self._file, tables=self._tables, first_row=self._first)
        self._tables, self._size, self._rows = [], 0, 0


def _check(file: InputFile, columns: Sequence[str], names: Sequence[str]) -> None:
    present = [name for name in columns if name in names]
    if not present:
        raise InputError(
            f"{file.name}: no field {columns[0]!r}; it has: {', '.join(names)}: set fields.text to the one with the text"
        )
    for name in present:
        if names.count(name) > 1:
            raise InputError(
                f"{file.name}: {names.count(name)} columns are called {name!r}, and nobody can know which is meant: give "
                "each column a name of its own"
            )


def read_tables(portion: Portion) -> Iterator[Batch]:
    """The records of a portion of record batches."""
    row = portion.first_row
    for table in portion.tables:
        begin = portion.file.position(row)
        try:
            records = table.to_pylist()
        except _NOT_IN_PYTHON:
            yield _one_by_one(portion.file, table, row)
        else:
            yield Batch(portion.file.format, list(range(begin, begin + len(records))), records, size=table.nbytes)
        row += table.num_rows


# Dates beyond the year 9999, times in zones that nobody knows, fields twice in a structure.
_NOT_IN_PYTHON = (ValueError, ArithmeticError, LookupError, TypeError, OSError)


def _one_by_one(file: InputFile, table: Any, first_row: int) -> Batch:
    """The records of a table of which some have values that Python has not."""
    table = _in_known_zones(table)
    batch = Batch(file.format, size=table.nbytes)
    for number in range(table.num_rows):
        try:
            batch.add(file, first_row + number, table.slice(number, 1).to_pylist()[0])
        except _NOT_IN_PYTHON as error:
            name = next((name for name in table.schema.names if not _is_in_python(table.column(name)[number])), "")
            batch.add_problem(file, first_row + number, f"field {name!r} cannot be read", str(error))
    return batch


def _is_in_python(value: Any) -> bool:
    try:
        value.as_py()
    except _NOT_IN_PYTHON:
        return False
    return True


def _in_known_zones(table: Any) -> Any:
    """`table` with its times in UTC where nobody knows their zone: the same moments under another name."""
    import pyarrow as pa

    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            try:
                pa.lib.string_to_tzinfo(field.type.tz)
            except _NOT_IN_PYTHON:
                column = table.column(number).cast(pa.timestamp(field.type.unit, "UTC"))
                table = table.set_column(number, field.name, column)
    return table
