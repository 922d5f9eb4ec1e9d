"""What reads Parquet and Arrow files, in a process of its own: a damaged file may take memory without end, or the process.

Whatever leaves it was validated in full, in slices of bounded size. It is started by `gotd_assets.corpus.reading.columnar`
and speaks with it through a pipe: a `Request` comes, what is found goes back piece by piece, `End` is the last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

SLICE_BYTES = 4 * 2**20
_SLICE_ROWS = 8192
_EXCERPT = 200
# What reading may take; a large file has large parts, but hardly ever ones that unpack to more than ten times its size.
_MEMORY = 640 * 2**20
_MEMORY_PER_BYTE = 10
# Rows of a Parquet file that are decoded together: fewer where memory does not suffice for more.
_ROWS_AT_A_TIME = (1024, 32, 1)
# No column of an Arrow file takes less than a bit for a row, but for one of nulls.
_ROWS_PER_BYTE = 64
_NO_MEMORY = (MemoryError, pa.ArrowMemoryError)
_DAMAGED = (OSError, ValueError, ArithmeticError, LookupError, TypeError, pa.ArrowException)


@dataclasses.dataclass(frozen=True)
class Request:
    """A file to read.

    Attributes:
        path: its path, as the system has it.
        columns: those that are wanted, in order.
        max_record_bytes: what is larger is left out.
        first_part: number of the part (row group, record batch) to begin with.
        first_row: number of the first row in it, from 1.
    """

    path: bytes
    is_parquet: bool
    columns: tuple[str, ...]
    max_record_bytes: int
    first_part: int = 0
    first_row: int = 1


@dataclasses.dataclass(frozen=True)
class Columns:
    """Names of all columns of the file, in order."""

    names: list[str]


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the file begins: its number, the row it begins with, its rows and bytes (None: unknown)."""

    number: int
    row: int
    rows: int | None
    size: int | None


@dataclasses.dataclass(frozen=True)
class Slice:
    """Sound rows from `row` on, as an Arrow stream."""

    row: int
    stream: bytes


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    row: int
    reason: str
    excerpt: str


@dataclasses.dataclass(frozen=True)
class Lost:
    """The rest of a part, from `row` on, cannot be read."""

    row: int
    rows: int | None
    size: int | None
    why: str


@dataclasses.dataclass(frozen=True)
class End:
    """No more comes; `error`: because the file cannot be read."""

    error: str | None = None


def serve(pipe: Connection) -> None:
    """Answer requests until the pipe closes."""
    # The system's allocator gives memory back and keeps to the limit.
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            request = pipe.recv()
            _limit_memory(request)
            try:
                for answer in _read(request):
                    pipe.send(answer)
            except _NO_MEMORY as error:
                pipe.send(End(f"more memory than its size allows: {_first_line(error)}"))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except _DAMAGED as error:
                pipe.send(End(_first_line(error)))
            else:
                pipe.send(End())


def _limit_memory(request: Request) -> None:
    size = Path(os.fsdecode(request.path)).stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _MEMORY + _MEMORY_PER_BYTE * size
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _read(request: Request) -> Iterator[object]:
    if request.is_parquet:
        with pa.OSFile(request.path) as source, pq.ParquetFile(source) as parquet:
            yield from _read_parquet(request, parquet)
    else:
        with pa.memory_map(request.path) as source:
            yield from _read_arrow(request, source)


def _read_parquet(request: Request, parquet: pq.ParquetFile) -> Iterator[object]:
    names = parquet.schema_arrow.names
    yield Columns(names)
    present = _present(request, names)
    row = request.first_row
    for number in range(request.first_part, parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        size = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        yield Part(number, row, group.num_rows, size)
        done = 0
        for at_a_time in _ROWS_AT_A_TIME:
            try:
                skipped = 0
                for batch in parquet.iter_batches(at_a_time, [number], present, use_threads=False):
                    skip = min(batch.num_rows, done - skipped)
                    skipped += skip
                    if skip < batch.num_rows:
                        yield from _sound(request, batch.slice(skip), row + done)
                        done += batch.num_rows - skip
                        skipped = done
                break
            except _NO_MEMORY as error:
                why = f"more memory than its size allows: {_first_line(error)}"
            except _DAMAGED as error:
                why = _first_line(error)
                break
        if done < group.num_rows:
            left = group.num_rows - done
            yield Lost(row + done, left, size * left // max(1, group.num_rows), why)
        row += group.num_rows


def _read_arrow(request: Request, source: pa.NativeFile) -> Iterator[object]:
    size = source.size()
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
    yield Columns(reader.schema.names)
    present = _present(request, reader.schema.names)
    row, number = request.first_row, request.first_part
    if not is_file and number:
        return
    while not is_file or number < reader.num_record_batches:
        rest = size // reader.num_record_batches if is_file else size - source.tell()
        yield Part(number, row, None, rest)
        try:
            batch = (reader.get_batch(number) if is_file else reader.read_next_batch()).select(present)
            if batch.num_rows > _ROWS_PER_BYTE * size:
                raise ValueError(f"{batch.num_rows:,} rows are more than can be in it")
            for start in range(0, batch.num_rows, _SLICE_ROWS):
                yield from _sound(request, batch.slice(start, _SLICE_ROWS), row + start)
            row += batch.num_rows
        except StopIteration:
            return
        except (*_NO_MEMORY, *_DAMAGED) as error:
            yield Lost(row, None, rest, _first_line(error))
            if not is_file:
                return
        number += 1


def _present(request: Request, names: Sequence[str]) -> list[str]:
    present = [name for name in request.columns if name in names]
    if not present or any(names.count(name) > 1 for name in present):
        raise ValueError("its columns are not those that are wanted")
    return present


def _sound(request: Request, batch: pa.RecordBatch, row: int) -> Iterator[object]:
    """What is sound of `batch`, and what is not row by row."""
    if not batch.num_rows:
        return
    problem = _problem(batch)
    if problem is None:
        yield from _in_slices(request, batch, row)
    elif batch.num_rows == 1:
        yield BadRow(row, *problem)
    else:
        half = batch.num_rows // 2
        yield from _sound(request, batch.slice(0, half), row)
        yield from _sound(request, batch.slice(half), row + half)


def _problem(batch: pa.RecordBatch) -> tuple[str, str] | None:
    """Why `batch` is not sound, and how its value begins if it is one row."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            _validate(column)
        except _DAMAGED as error:
            line = _first_line(error)
            if "UTF8" not in line:
                return "malformed value", f"field {name!r}: {line}"
            return "invalid UTF-8", _begin(column) or f"field {name!r}: {line}"
    return None


def _validate(column: pa.Array) -> None:
    """Look at all of `column`, but not at what lies beside it in the same buffers.

    Raises:
        pyarrow.ArrowInvalid: something in it is wrong.
    """
    if pa.types.is_struct(column.type):
        column.validate()
        for field in column.flatten():
            _validate(field)
    elif pa.types.is_dictionary(column.type) and len(column) == 1:
        column.indices.validate(full=True)
        place = column.indices[0].as_py()
        if place is not None and not 0 <= place < len(column.dictionary):
            raise ValueError(f"place {place} in a dictionary of {len(column.dictionary)} values")
        _validate(column.dictionary.slice(place or 0, 0 if place is None else 1))
    else:
        column.validate(full=True)


def _begin(column: pa.Array) -> str | None:
    with contextlib.suppress(*_DAMAGED):
        kinds = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
        if column.type in kinds:
            value = column.view(kinds[column.type])[0].as_py()
            return value[: 4 * _EXCERPT].decode(errors="replace")[:_EXCERPT] if value else None
    return None


def _in_slices(request: Request, batch: pa.RecordBatch, row: int) -> Iterator[object]:
    """`batch` in slices of a bounded size; rows beyond max_record_bytes are left out."""
    size = sum(map(_size, batch.columns))
    if size <= (request.max_record_bytes if batch.num_rows == 1 else SLICE_BYTES):
        plain = _decoded(batch)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, plain.schema) as writer:
            writer.write_batch(plain)
        yield Slice(row, sink.getvalue().to_pybytes())
    elif batch.num_rows == 1:
        excerpt = next((_excerpt(column) for column in batch.columns), "")
        yield BadRow(row, "record larger than max_record_bytes", excerpt)
    else:
        half = batch.num_rows // 2
        yield from _in_slices(request, batch.slice(0, half), row)
        yield from _in_slices(request, batch.slice(half), row + half)


def _size(column: pa.Array) -> int:
    """Bytes of `column`, its dictionary written out."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    most = int(column.dictionary.nbytes)
    if most * len(column) > SLICE_BYTES:
        with contextlib.suppress(*_DAMAGED):
            lengths = pc.binary_length(column.dictionary)
            return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
    return most * len(column)


def _decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch` without dictionaries, of which every slice would have all."""
    columns: list[Any] = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _excerpt(column: pa.Array) -> str:
    with contextlib.suppress(*_NO_MEMORY, *_DAMAGED):
        return str(column[0].as_py())[:_EXCERPT]
    return ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:_EXCERPT]
