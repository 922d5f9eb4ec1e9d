"""CSV and TSV files.

A quotation mark that is never closed makes the rest of a file one field. Where a record cannot be parsed, its first line
is set aside and reading goes on at the second, so that such a mark costs its own line only.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from typing import TYPE_CHECKING

from gotd_assets.corpus.reading.csv_lines import Lines, RecordTooLargeError
from gotd_assets.corpus.reading.portion import DAMAGED, EXCERPT, Batch, Damage, Portion, RowsRead
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile

# Lines inside a field that is sound by itself, from which on they are looked at: could they be records?
_LINES_OF_A_TEXT = 20


def cut_csv(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    """Rows of a CSV or TSV file, parsed from its beginning.

    Raises:
        InputError: one of the `columns` is there twice.
        ValueError: the header is malformed.
    """
    # A quoted field may hold line ends, so where a record begins is known only from the beginning of the file.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with Lines(file, progress, max_record_bytes) as lines:
        reader = csv.reader(lines, delimiter=lines.delimiter, strict=True)
        header = _header(file, reader, columns)
        batch = Batch(file.format)
        while True:
            progress.row += 1
            lines.begin()
            try:
                values = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                _malformed(batch, file, progress.row, str(error), lines)
            except RecordTooLargeError:
                _too_large(batch, file, progress.row, lines, len(header))
            except DAMAGED:
                yield Portion(file, batch=batch)
                raise
            else:
                if lines.are_many and _is_torn(values, lines, len(header)):
                    _malformed(batch, file, progress.row, "a quotation mark is not closed on its line", lines)
                else:
                    _take_row(batch, file, progress.row, header, values)
            if batch.full:
                yield Portion(file, batch=batch)
                batch = Batch(file.format)
        if lines.lost:
            batch.damages.append(Damage(file.name, "too many quotation marks that are not closed", lines.lost))
        yield Portion(file, batch=batch)


def _header(file: InputFile, reader: Iterator[list[str]], columns: Sequence[str]) -> list[str]:
    try:
        header = next(reader, [])
    except (csv.Error, RecordTooLargeError) as error:
        raise ValueError(f"the line with the names of its columns is malformed CSV ({error})") from error
    for name, times in Counter(header).items():
        if times > 1 and name in columns:
            raise InputError(
                f"{file.name}: {times} columns are called {name!r}, and nobody can know which is meant: give each column a "
                "name of its own"
            )
    return header


def _malformed(batch: Batch, file: InputFile, row: int, why: str, lines: Lines) -> None:
    """Set the first line of what was read last aside; the others are read again."""
    excerpt = f"{why}: {lines.first(EXCERPT)}"
    batch.size += len(excerpt)
    batch.add_problem(file, row, "malformed CSV", excerpt)
    lines.go_back()


def _too_large(batch: Batch, file: InputFile, row: int, lines: Lines, width: int) -> None:
    excerpt = lines.first(EXCERPT)
    if lines.skip_record() and not _are_records(lines, width):
        batch.size += len(excerpt)
        batch.add_problem(file, row, "record larger than max_record_bytes", excerpt)
    else:
        _malformed(batch, file, row, "a quotation mark is not closed", lines)


def _is_torn(values: Sequence[str], lines: Lines, width: int) -> bool:
    """Whether a record of several lines is rather several records, the first of which has a stray quotation mark."""
    if len(values) == width:
        return _are_records(lines, width)
    inner = lines.inner()
    return (
        width > 1 and bool(inner) and 2 * sum(_is_sound(line, width, lines.delimiter) for line in inner) >= len(inner)
    )


def _are_records(lines: Lines, width: int) -> bool:
    """Whether the lines that stand in a field are records, each and every one."""
    inner = lines.inner()
    return (
        width > 1 and len(inner) >= _LINES_OF_A_TEXT and all(_is_sound(line, width, lines.delimiter) for line in inner)
    )


def _is_sound(line: str, width: int, delimiter: str) -> bool:
    try:
        return [len(values) for values in csv.reader([line], delimiter=delimiter, strict=True)] == [width]
    except csv.Error:
        return False


def _take_row(batch: Batch, file: InputFile, row: int, header: Sequence[str], values: Sequence[str]) -> None:
    joined = "\x1f".join(values)
    batch.size += len(joined)
    if not values:
        return
    if len(values) != len(header):
        excerpt = f"{len(values)} instead of {len(header)}: {joined[:150]}"
        batch.add_problem(file, row, "wrong number of columns", excerpt)
    elif not joined.isascii() and any("\udc80" <= character <= "\udcff" for character in joined):
        batch.add_problem(file, row, "invalid UTF-8", joined.encode("utf-8", "surrogateescape")[:EXCERPT])
    else:
        batch.add(file, row, dict(zip(header, values, strict=True)))
