"""Readers: from files of every format to batches of plain records, bad ones set aside with a reason.

A file is first cut into portions (`portions`), each of which any process can read by itself (`read_portion`).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import lzma
import math
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

import orjson

from gotd_assets.corpus.json_arrays import json_elements
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gotd_assets.corpus.files import InputFile

PORTION_BYTES = 16 * 2**20
BATCH_RECORDS = 8192
BATCH_BYTES = 16 * 2**20
_EXCERPT = 200
# Arrow's errors are OSErrors and ValueErrors; these two of the decompressors are neither.
_DAMAGED = (OSError, EOFError, ValueError, ArithmeticError, zlib.error, lzma.LZMAError)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class Problem:
    """A record (or, with row 0, the rest of a file) that could not be used: where, why, and how it begins."""

    file: str
    row: int
    reason: str
    excerpt: str


@dataclasses.dataclass
class Batch:
    """Records of files of one format: the records as mappings, where each stands, and what was set aside on the way.

    A position is the number of the file and the 1-based row in it, as one integer (`InputFile.position`). `rows` counts
    lines, empty ones too.
    """

    format: str
    positions: list[int] = dataclasses.field(default_factory=list)
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    size: int = 0
    rows: int = 0

    def add(self, file: InputFile, row: int, record: object) -> None:
        """Take a record, or set it aside if it is no object."""
        if isinstance(record, dict):
            self.positions.append(file.position(row))
            self.records.append(record)
        else:
            self.add_problem(file, row, "record is not an object", repr(record)[:_EXCERPT])

    def add_problem(self, file: InputFile, row: int, reason: str, excerpt: str | bytes) -> None:
        """Set a record aside."""
        text = excerpt.decode(errors="replace") if isinstance(excerpt, bytes) else excerpt
        self.problems.append(Problem(file.name, row, reason, text[:_EXCERPT]))

    @property
    def full(self) -> bool:
        """Whether it is time to hand the batch on."""
        return len(self.positions) + len(self.problems) >= BATCH_RECORDS or self.size >= BATCH_BYTES


@dataclasses.dataclass(frozen=True)
class Portion:
    """A part of a file (or several whole texts) that any process can read by itself: one of the following.

    Attributes:
        file: the file, or the last of several.
        span: whole lines from one byte to another; rows are counted from 1 in it, as nobody has counted those before.
        lines: lines (or elements of a JSON array) that were found already, from row `first_row` on.
        tables: record batches of a columnar file, from row `first_row` on.
        batch: what was parsed already, because only reading from the beginning finds where a record ends.
    """

    file: InputFile
    span: tuple[int, int] | None = None
    lines: Sequence[bytes] = ()
    tables: Sequence[Any] = ()
    first_row: int = 1
    batch: Batch | None = None


def portions(files: Sequence[InputFile], columns: Sequence[str], max_record_bytes: int) -> Iterator[Portion]:
    """Cut `files` into portions of some 16 MiB, the same whatever reads them.

    `columns` are the top-level fields that columnar formats need to read. What cannot be read (the rest of a truncated
    archive, a file with a corrupt footer) becomes a `Problem`; the next file follows. Text formats give records
    {'text': …}.
    """
    cutters = {
        "jsonl": _cut_lines,
        "json": _cut_json,
        "csv": _cut_csv,
        "tsv": _cut_csv,
        "parquet": _cut_parquet,
        "arrow": _cut_arrow,
        "text-lines": _cut_lines,
    }
    texts = Batch("text")
    for number, file in enumerate(files):
        if file.format == "text":
            _read_text(file, texts, max_record_bytes)
            if texts.full or number + 1 == len(files) or files[number + 1].format != "text":
                yield Portion(file, batch=texts)
                texts = Batch("text")
            continue
        progress = _Progress()
        try:
            yield from cutters[file.format](file, columns, max_record_bytes, progress)
        except _DAMAGED as error:
            broken = Batch(file.format)
            broken.add_problem(file, 0, "file damaged or cut off", f"after row {progress.row}: {error}")
            yield Portion(file, batch=broken)


def read_portion(portion: Portion, max_record_bytes: int) -> Iterator[Batch]:
    """The records of `portion` in batches of at most 8192 records."""
    if portion.batch is not None:
        yield portion.batch
    elif portion.span is not None:
        yield from _read_span(portion, max_record_bytes)
    elif portion.tables:
        yield from _read_tables(portion)
    else:
        yield from _read_lines(portion, max_record_bytes)


@dataclasses.dataclass
class _Progress:
    row: int = 0


def _lines(stream: IO[bytes], limit: int, size: float = math.inf) -> Iterator[tuple[int, bytes, bool]]:
    """Number, content and completeness of each line; of a line beyond `limit` bytes only the beginning is kept.

    Stops after `size` bytes, which end with a line.
    """
    row = taken = 0
    while taken < size and (line := stream.readline(limit + 1)):
        row += 1
        taken += len(line)
        complete = len(line) <= limit or line.endswith(b"\n")
        yield row, line, complete
        while not complete and (rest := stream.readline(1 << 20)):
            taken += len(rest)
            complete = rest.endswith(b"\n")


def _cut_lines(
    file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: _Progress
) -> Iterator[Portion]:
    del columns
    if file.compression is not None:
        yield from _decompressed_lines(file, max_record_bytes, progress)
        return
    size = file.path.stat().st_size
    start = 0
    with file.open() as stream:
        while start < size:
            stream.seek(start + PORTION_BYTES)
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            stop = min(stream.tell(), size)
            yield Portion(file, span=(start, stop))
            start = stop


def _decompressed_lines(file: InputFile, max_record_bytes: int, progress: _Progress) -> Iterator[Portion]:
    lines: list[bytes] = []
    size = 0
    first = 1
    try:
        with file.open() as stream:
            for row, line, complete in _lines(stream, max_record_bytes):
                progress.row = row
                lines.append(line)
                size += len(line)
                if size >= PORTION_BYTES or not complete:
                    yield Portion(file, lines=lines, first_row=first)
                    lines, size, first = [], 0, row + 1
    except _DAMAGED:
        # What was read before a damaged place is not lost with it.
        yield Portion(file, lines=lines, first_row=first)
        raise
    yield Portion(file, lines=lines, first_row=first)


def _cut_json(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: _Progress) -> Iterator[Portion]:
    with file.open() as stream:
        head = stream.read(4096).removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not head.startswith(b"["):
        # Many JSON Lines files are called .json.
        yield from _cut_lines(file, columns, max_record_bytes, progress)
        return
    elements: list[bytes] = []
    size = 0
    try:
        with file.open() as stream:
            for element in json_elements(cast("io.BufferedIOBase", stream), max_record_bytes):
                progress.row += 1
                elements.append(element)
                size += len(element)
                if size >= PORTION_BYTES:
                    yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))
                    elements, size = [], 0
    except _DAMAGED:
        yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))
        raise
    yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))


def _cut_csv(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: _Progress) -> Iterator[Portion]:
    # A quoted field may hold line ends, so where a record begins is known only from the beginning of the file.
    del columns
    csv.field_size_limit(max_record_bytes)
    with file.open() as stream:
        # A byte that is no UTF-8 becomes a lone surrogate, which no valid text holds: the row is told by it.
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter="\t" if file.format == "tsv" else ",", strict=True)
        header = next(reader, [])
        batch = Batch(file.format)
        while True:
            progress.row += 1
            try:
                values = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                too_large = "field larger than field limit" in str(error)
                reason = "record larger than max_record_bytes" if too_large else "malformed CSV"
                batch.add_problem(file, progress.row, reason, str(error))
                continue
            except _DAMAGED:
                yield Portion(file, batch=batch)
                raise
            _take_row(batch, file, progress.row, header, values)
            if batch.full:
                yield Portion(file, batch=batch)
                batch = Batch(file.format)
        yield Portion(file, batch=batch)


def _take_row(batch: Batch, file: InputFile, row: int, header: Sequence[str], values: Sequence[str]) -> None:
    joined = "\x1f".join(values)
    batch.size += len(joined)
    if not values:
        return
    if len(values) != len(header):
        excerpt = f"{len(values)} instead of {len(header)}: {joined[:150]}"
        batch.add_problem(file, row, "wrong number of columns", excerpt)
    elif not joined.isascii() and any("\udc80" <= character <= "\udcff" for character in joined):
        batch.add_problem(file, row, "invalid UTF-8", joined.encode("utf-8", "surrogateescape")[:_EXCERPT])
    else:
        batch.add(file, row, dict(zip(header, values, strict=True)))


def _cut_parquet(
    file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: _Progress
) -> Iterator[Portion]:
    import pyarrow.parquet as pq

    del max_record_bytes
    with pq.ParquetFile(file.path) as parquet:
        present = _present(file, columns, parquet.schema_arrow.names)
        yield from _cut_tables(file, parquet.iter_batches(batch_size=1024, columns=present), progress)


def _cut_arrow(
    file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: _Progress
) -> Iterator[Portion]:
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


def _cut_tables(file: InputFile, tables: Iterator[Any], progress: _Progress) -> Iterator[Portion]:
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
    except _DAMAGED:
        if held:
            yield Portion(file, tables=held, first_row=first)
        raise
    if held:
        yield Portion(file, tables=held, first_row=first)


def _read_tables(portion: Portion) -> Iterator[Batch]:
    row = portion.first_row
    for table in portion.tables:
        records = table.to_pylist()
        begin = portion.file.position(row)
        yield Batch(portion.file.format, list(range(begin, begin + len(records))), records, size=table.nbytes)
        row += len(records)


def _read_text(file: InputFile, batch: Batch, max_record_bytes: int) -> None:
    try:
        with file.open() as stream:
            content = stream.read(max_record_bytes + 1)
    except _DAMAGED as error:
        batch.add_problem(file, 0, "file damaged or cut off", f"after row 0: {error}")
        return
    batch.size += len(content)
    if len(content) > max_record_bytes:
        batch.add_problem(file, 1, "record larger than max_record_bytes", content[: 4 * _EXCERPT])
    else:
        _take_text(batch, file, 1, content)


def _read_span(portion: Portion, max_record_bytes: int) -> Iterator[Batch]:
    start, stop = portion.span or (0, 0)
    with portion.file.open() as stream:
        stream.seek(start)
        if stop - start > 2 * PORTION_BYTES:
            # A line of it is huge.
            lines = _lines(stream, max_record_bytes, stop - start)
            yield from _parse_lines(portion.file, lines, has_head=start == 0)
            return
        content = stream.read(stop - start)
    found = content.split(b"\n")
    del content
    if not found[-1]:
        found.pop()
    yield from _parse_found(portion.file, found, 1, max_record_bytes, has_head=start == 0)


def _read_lines(portion: Portion, max_record_bytes: int) -> Iterator[Batch]:
    has_head = portion.first_row == 1
    return _parse_found(portion.file, portion.lines, portion.first_row, max_record_bytes, has_head=has_head)


def _parse_found(
    file: InputFile, lines: Sequence[bytes], first_row: int, max_record_bytes: int, *, has_head: bool
) -> Iterator[Batch]:
    """Parse `lines`, many at a time where all of them are sound, as they nearly always are."""
    for start in range(0, len(lines), BATCH_RECORDS):
        part, row = lines[start : start + BATCH_RECORDS], first_row + start
        batch = _sound(file, part, row, max_record_bytes) if file.format != "text-lines" else None
        if batch is not None:
            yield batch
            continue
        numbered = (
            (number, line, len(line) <= max_record_bytes or line.endswith(b"\n"))
            for number, line in enumerate(part, start=row)
        )
        yield from _parse_lines(file, numbered, has_head=has_head and start == 0)


def _sound(file: InputFile, lines: Sequence[bytes], row: int, max_record_bytes: int) -> Batch | None:
    """The batch of `lines`, from row `row` on, if each is a JSON object of an allowed size; else None."""
    sizes = list(map(len, lines))
    if max(sizes) > max_record_bytes:
        return None
    try:
        records = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        return None
    if set(map(type, records)) != {dict}:
        return None
    begin = file.position(row)
    return Batch(file.format, list(range(begin, begin + len(lines))), records, size=sum(sizes), rows=len(lines))


def _parse_lines(file: InputFile, lines: Iterable[tuple[int, bytes, bool]], *, has_head: bool) -> Iterator[Batch]:
    parse = _parse_text if file.format == "text-lines" else _parse_json
    batch = Batch(file.format)
    for row, line, complete in lines:
        batch.size += len(line)
        batch.rows += 1
        if complete:
            parse(batch, file, row, line.removeprefix(_BYTE_ORDER_MARK) if has_head and row == 1 else line)
        else:
            batch.add_problem(file, row, "record larger than max_record_bytes", line[: 4 * _EXCERPT])
        # Not `batch.full`: this is once for every line.
        if batch.rows >= BATCH_RECORDS or batch.size >= BATCH_BYTES:
            yield batch
            batch = Batch(file.format)
    yield batch


def _parse_json(batch: Batch, file: InputFile, row: int, line: bytes) -> None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if line.strip():
            invalid = "invalid UTF-8" if _is_invalid_utf8(line) else "malformed JSON"
            batch.add_problem(file, row, invalid, line[: 4 * _EXCERPT] if error.pos < _EXCERPT else line[:_EXCERPT])
    else:
        batch.add(file, row, record)


def _parse_text(batch: Batch, file: InputFile, row: int, line: bytes) -> None:
    _take_text(batch, file, row, line.rstrip(b"\r\n"))


def _is_invalid_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def _take_text(batch: Batch, file: InputFile, row: int, content: bytes) -> None:
    try:
        text = content.removeprefix(_BYTE_ORDER_MARK).decode() if row == 1 else content.decode()
    except UnicodeDecodeError:
        batch.add_problem(file, row, "invalid UTF-8", content[: 4 * _EXCERPT])
    else:
        batch.add(file, row, {"text": text})
