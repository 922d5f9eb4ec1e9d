"""JSON Lines, JSON and text, line by line."""

from __future__ import annotations

import io
import math
from typing import IO, TYPE_CHECKING, cast

from gotd_assets.corpus.reading.json_arrays import glued_objects, json_elements
from gotd_assets.corpus.reading.json_values import UnusableRecordError, is_plain, parse_plain, parse_record, quoted
from gotd_assets.corpus.reading.portion import (
    BATCH_BYTES,
    BATCH_RECORDS,
    BYTE_ORDER_MARK,
    DAMAGED,
    EXCERPT,
    PORTION_BYTES,
    Batch,
    Damage,
    Portion,
    RowsRead,
    Wanted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile

# A line of as many of the largest records is no record.
_RECORDS_IN_A_LINE = 4


def _lines(stream: IO[bytes], limit: int, size: float = math.inf) -> Iterator[tuple[int, bytes, int]]:
    """Number, content and bytes of each line; of a line beyond `limit` bytes only the beginning is kept.

    Stops after `size` bytes, which end with a line.
    """
    row = taken = 0
    while taken < size and (line := stream.readline(limit + 1)):
        row += 1
        whole = len(line)
        complete = whole <= limit or line.endswith(b"\n")
        while not complete and (rest := stream.readline(1 << 20)):
            whole += len(rest)
            complete = rest.endswith(b"\n")
        taken += whole
        yield row, line, whole


def cut_lines(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    """Whole lines of a file, told by their bytes, or, of a compressed one, by themselves."""
    del columns
    if file.compression is not None:
        yield from _decompressed_lines(file, max_record_bytes, progress)
        return
    size = file.path.stat().st_size
    start = 0
    with progress.open(file) as stream:
        while start < size:
            stream.seek(start + PORTION_BYTES)
            while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            stop = min(stream.tell(), size)
            yield Portion(file, span=(start, stop))
            start = stop


def _decompressed_lines(file: InputFile, max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    lines: list[bytes] = []
    size = 0
    first = 1
    try:
        with progress.open(file) as stream:
            for row, line, whole in _lines(stream, max_record_bytes):
                progress.row = row
                lines.append(line)
                size += len(line)
                if size >= PORTION_BYTES or whole > len(line):
                    yield Portion(file, lines=lines, first_row=first)
                    lines, size, first = [], 0, row + 1
                if damage := _huge(file, row, whole, max_record_bytes):
                    yield Portion(file, batch=Batch(file.format, damages=[damage]))
    except DAMAGED:
        # What was read before a damaged place is not lost with it.
        yield Portion(file, lines=lines, first_row=first)
        raise
    yield Portion(file, lines=lines, first_row=first)


def _huge(file: InputFile, row: int, size: int, max_record_bytes: int) -> Damage | None:
    """A line so large that it is rather many records than one."""
    if size <= _RECORDS_IN_A_LINE * max_record_bytes:
        return None
    return Damage(file.name, f"row {row} is a line of {size:,} bytes: are its line ends lost?", size)


def cut_json(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    """Elements of a JSON array, or the lines of a JSON Lines file that is called .json."""
    with progress.open(file) as stream:
        head = stream.read(4096).removeprefix(BYTE_ORDER_MARK).lstrip()
    if not head.startswith(b"["):
        # Many JSON Lines files are called .json.
        yield from cut_lines(file, columns, max_record_bytes, progress)
        return
    elements: list[bytes] = []
    size = 0
    try:
        with progress.open(file) as stream:
            for element in json_elements(cast("io.BufferedIOBase", stream), max_record_bytes):
                progress.row += 1
                elements.append(element)
                size += len(element)
                if size >= PORTION_BYTES:
                    yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))
                    elements, size = [], 0
    except DAMAGED:
        yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))
        raise
    yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))


def read_span(portion: Portion, wanted: Wanted) -> Iterator[Batch]:
    """The records of a portion that is a span of bytes."""
    start, stop = portion.span or (0, 0)
    parser = _Parser(portion.file, wanted, has_head=start == 0)
    with portion.file.open() as stream:
        stream.seek(start)
        if stop - start > 2 * PORTION_BYTES:
            # A line of it is huge.
            yield from parser.one_by_one(_lines(stream, wanted.max_record_bytes, stop - start))
            return
        content = stream.read(stop - start)
    found = content.split(b"\n")
    del content
    if not found[-1]:
        found.pop()
    yield from parser.many(found, 1)


def read_lines(portion: Portion, wanted: Wanted) -> Iterator[Batch]:
    """The records of a portion whose lines were found already."""
    return _Parser(portion.file, wanted, has_head=portion.first_row == 1).many(portion.lines, portion.first_row)


class _Parser:
    """From lines of a file to records; `has_head`: the first of them is the first of the file."""

    def __init__(self, file: InputFile, wanted: Wanted, *, has_head: bool) -> None:
        self._file = file
        self._wanted = wanted
        self._limit = wanted.max_record_bytes
        self._names = quoted(wanted.columns)
        self._has_head = has_head

    def many(self, lines: Sequence[bytes], first_row: int) -> Iterator[Batch]:
        """Parse `lines`, many at a time where all of them are sound, as they nearly always are."""
        for start in range(0, len(lines), BATCH_RECORDS):
            part, row = lines[start : start + BATCH_RECORDS], first_row + start
            batch = self._sound(part, row) if self._file.format != "text-lines" else None
            if batch is not None:
                yield batch
                continue
            yield from self.one_by_one((number, line, len(line)) for number, line in enumerate(part, start=row))

    def one_by_one(self, lines: Iterable[tuple[int, bytes, int]]) -> Iterator[Batch]:
        """Parse lines, given with their numbers and sizes, of which some may be malformed."""
        batch = Batch(self._file.format)
        for row, line, size in lines:
            batch.size += len(line)
            batch.rows += 1
            if len(line) <= self._limit or (size == len(line) and line.endswith(b"\n")):
                self._parse(batch, row, line.removeprefix(BYTE_ORDER_MARK) if self._has_head and row == 1 else line)
            else:
                batch.add_problem(self._file, row, "record larger than max_record_bytes", line[: 4 * EXCERPT])
                if damage := _huge(self._file, row, size, self._limit):
                    batch.damages.append(damage)
            # Not `batch.full`: this is once for every line.
            if batch.rows >= BATCH_RECORDS or batch.size >= BATCH_BYTES:
                yield batch
                batch = Batch(self._file.format)
        yield batch

    def _sound(self, lines: Sequence[bytes], row: int) -> Batch | None:
        """The batch of `lines`, from row `row` on, if each is a JSON object of an allowed size; else None."""
        sizes = list(map(len, lines))
        if max(sizes) > self._limit or not all(map(self._is_plain, lines)):
            return None
        records = parse_plain(lines)
        if records is None or set(map(type, records)) != {dict}:
            return None
        begin = self._file.position(row)
        positions = list(range(begin, begin + len(lines)))
        return Batch(self._file.format, positions, records, size=sum(sizes), rows=len(lines))

    def _is_plain(self, line: bytes) -> bool:
        return is_plain(line, self._names, numbers=self._wanted.values)

    def _parse(self, batch: Batch, row: int, line: bytes) -> None:
        if self._file.format == "text-lines":
            take_text(batch, self._file, row, line.rstrip(b"\r\n"))
        elif line.strip():
            try:
                batch.add(self._file, row, self._record(line))
            except UnusableRecordError as error:
                reason = str(error)
                objects = glued_objects(line) if reason == "malformed JSON" else []
                for part in objects:
                    self._parse(batch, row, part)
                if not objects:
                    batch.add_problem(self._file, row, reason, line[: 4 * EXCERPT])

    def _record(self, line: bytes) -> object:
        found = parse_plain([line]) if self._is_plain(line) else None
        return parse_record(line, self._wanted.columns) if found is None else found[0]


def take_text(batch: Batch, file: InputFile, row: int, content: bytes) -> None:
    """Add `content` to `batch` as the record {'text': …}, or set it aside if it is no UTF-8."""
    try:
        text = content.removeprefix(BYTE_ORDER_MARK).decode() if row == 1 else content.decode()
    except UnicodeDecodeError:
        batch.add_problem(file, row, "invalid UTF-8", content[: 4 * EXCERPT])
    else:
        batch.add(file, row, {"text": text})
