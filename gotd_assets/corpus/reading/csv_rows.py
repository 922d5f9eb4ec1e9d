"""CSV and TSV files."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from gotd_assets.corpus.reading.portion import DAMAGED, EXCERPT, Batch, Portion, RowsRead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile


def cut_csv(file: InputFile, columns: Sequence[str], max_record_bytes: int, progress: RowsRead) -> Iterator[Portion]:
    """Rows of a CSV or TSV file, parsed from its beginning."""
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
            except DAMAGED:
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
        batch.add_problem(file, row, "invalid UTF-8", joined.encode("utf-8", "surrogateescape")[:EXCERPT])
    else:
        batch.add(file, row, dict(zip(header, values, strict=True)))
