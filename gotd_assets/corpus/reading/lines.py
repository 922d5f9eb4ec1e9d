"""JSON Lines, JSON and text, line by line."""

from __future__ import annotations

import io
import math
from typing import IO, TYPE_CHECKING, cast

import orjson

from gotd_assets.corpus.reading.json_arrays import json_elements
from gotd_assets.corpus.reading.portion import (
    BATCH_BYTES,
    BATCH_RECORDS,
    BYTE_ORDER_MARK,
    DAMAGED,
    EXCERPT,
    PORTION_BYTES,
    Batch,
    Portion,
    RowsRead,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile


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


def cut_lines(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    """Whole lines of a file, told by their bytes, or, of a compressed one, by themselves."""
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


def _decompressed_lines(file: InputFile, max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
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
    except DAMAGED:
        # What was read before a damaged place is not lost with it.
        yield Portion(file, lines=lines, first_row=first)
        raise
    yield Portion(file, lines=lines, first_row=first)


def cut_json(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    """Elements of a JSON array, or the lines of a JSON Lines file that is called .json."""
    with file.open() as stream:
        head = stream.read(4096).removeprefix(BYTE_ORDER_MARK).lstrip()
    if not head.startswith(b"["):
        # Many JSON Lines files are called .json.
        yield from cut_lines(file, columns, max_record_bytes, progress)
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
    except DAMAGED:
        yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))
        raise
    yield Portion(file, lines=elements, first_row=progress.row + 1 - len(elements))


def read_span(portion: Portion, max_record_bytes: int) -> Iterator[Batch]:
    """The records of a portion that is a span of bytes."""
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


def read_lines(portion: Portion, max_record_bytes: int) -> Iterator[Batch]:
    """The records of a portion whose lines were found already."""
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
            parse(batch, file, row, line.removeprefix(BYTE_ORDER_MARK) if has_head and row == 1 else line)
        else:
            batch.add_problem(file, row, "record larger than max_record_bytes", line[: 4 * EXCERPT])
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
            batch.add_problem(file, row, invalid, line[: 4 * EXCERPT] if error.pos < EXCERPT else line[:EXCERPT])
    else:
        batch.add(file, row, record)


def _parse_text(batch: Batch, file: InputFile, row: int, line: bytes) -> None:
    take_text(batch, file, row, line.rstrip(b"\r\n"))


def _is_invalid_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def take_text(batch: Batch, file: InputFile, row: int, content: bytes) -> None:
    """Add `content` to `batch` as the record {'text': …}, or set it aside if it is no UTF-8."""
    try:
        text = content.removeprefix(BYTE_ORDER_MARK).decode() if row == 1 else content.decode()
    except UnicodeDecodeError:
        batch.add_problem(file, row, "invalid UTF-8", content[: 4 * EXCERPT])
    else:
        batch.add(file, row, {"text": text})
