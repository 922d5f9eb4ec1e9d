"""Readers: from files of every format to batches of plain records, bad ones set aside with a reason."""

from __future__ import annotations

import csv
import dataclasses
import io
import lzma
import zlib
from typing import IO, TYPE_CHECKING, Any

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gotd_assets.corpus.files import InputFile

BATCH_RECORDS = 8192
BATCH_BYTES = 16 * 2**20
# A JSON array is parsed whole, at some ten times its size.
MAX_JSON_BYTES = 128 * 2**20
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
    """Records of one file: 1-based `rows`, the records as mappings, and what was set aside on the way."""

    file: InputFile
    rows: list[int] = dataclasses.field(default_factory=list)
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    size: int = 0

    def add_problem(self, row: int, reason: str, excerpt: str | bytes) -> None:
        """Set a record aside."""
        text = excerpt.decode(errors="replace") if isinstance(excerpt, bytes) else excerpt
        self.problems.append(Problem(self.file.name, row, reason, text[:_EXCERPT]))

    @property
    def full(self) -> bool:
        """Whether it is time to hand the batch on."""
        return len(self.rows) + len(self.problems) >= BATCH_RECORDS or self.size >= BATCH_BYTES


def read_batches(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    """Read `file` in batches of at most about 8192 records or 16 MiB.

    `columns` are the top-level fields that columnar formats need to read. What cannot be read (a malformed line, the
    rest of a truncated archive, a file with a corrupt footer) becomes a `Problem`; reading goes on with the next.
    Text formats give records {'text': …}.
    """
    reader = {
        "jsonl": _read_jsonl,
        "json": _read_json,
        "csv": _read_csv,
        "tsv": _read_csv,
        "parquet": _read_parquet,
        "arrow": _read_arrow,
        "text": _read_text,
        "text-lines": _read_text_lines,
    }[file.format]
    batch = Batch(file)
    last = 0
    try:
        for batch in reader(file, columns, max_record_bytes):
            last = max([last, *batch.rows[-1:]])
            yield batch
    except _DAMAGED as error:
        broken = Batch(file)
        broken.add_problem(0, "file damaged or cut off", f"after row {last}: {error}")
        yield broken


def _lines(stream: IO[bytes], limit: int) -> Iterator[tuple[int, bytes, bool]]:
    """Number, content and completeness of each line; of a line beyond `limit` bytes only the beginning is kept."""
    row = 0
    while line := stream.readline(limit + 1):
        row += 1
        complete = len(line) <= limit or line.endswith(b"\n")
        yield row, line, complete
        while not complete and (rest := stream.readline(1 << 20)):
            complete = rest.endswith(b"\n")


def _read_lines(file: InputFile, max_record_bytes: int, parse: Callable[[Batch, int, bytes], None]) -> Iterator[Batch]:
    batch = Batch(file)
    try:
        with file.open() as stream:
            for row, line, complete in _lines(stream, max_record_bytes):
                batch.size += len(line)
                if complete:
                    parse(batch, row, line)
                else:
                    batch.add_problem(row, "record larger than max_record_bytes", line[: 4 * _EXCERPT])
                if batch.full:
                    yield batch
                    batch = Batch(file)
    except _DAMAGED:
        # What was read before a damaged place is not lost with it.
        yield batch
        raise
    yield batch


def _read_jsonl(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    import orjson

    del columns

    def parse(batch: Batch, row: int, line: bytes) -> None:
        if row == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if line.strip():
                invalid = "invalid UTF-8" if _is_invalid_utf8(line) else "malformed JSON"
                batch.add_problem(row, invalid, line[: 4 * _EXCERPT] if error.pos < _EXCERPT else line[:_EXCERPT])
            return
        _take(batch, row, record)

    return _read_lines(file, max_record_bytes, parse)


def _take(batch: Batch, row: int, record: object) -> None:
    if isinstance(record, dict):
        batch.rows.append(row)
        batch.records.append(record)
    else:
        batch.add_problem(row, "record is not an object", repr(record)[:_EXCERPT])


def _is_invalid_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def _read_json(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    import orjson

    with file.open() as stream:
        head = stream.read(4096).lstrip()
    if not head.startswith(b"["):
        # Many JSON Lines files are called .json.
        yield from _read_jsonl(file, columns, max_record_bytes)
        return
    with file.open() as stream:
        content = stream.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise InputError(
            f"{file.name} is one JSON array of more than {MAX_JSON_BYTES // 2**20} MiB, which would have to be parsed "
            "whole: convert it to JSON Lines (`jq -c '.[]' FILE > FILE.jsonl`)"
        )
    batch = Batch(file)
    for row, record in enumerate(orjson.loads(content), start=1):
        _take(batch, row, record)
        if batch.full:
            yield batch
            batch = Batch(file)
    yield batch


def _read_csv(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    del columns
    csv.field_size_limit(max_record_bytes)
    with file.open() as stream:
        # A byte that is no UTF-8 becomes a lone surrogate, which no valid text holds: the row is told by it.
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter="\t" if file.format == "tsv" else ",", strict=True)
        header = next(reader, [])
        batch = Batch(file)
        row = 0
        while True:
            row += 1
            try:
                values = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                too_large = "field larger than field limit" in str(error)
                batch.add_problem(
                    row, "record larger than max_record_bytes" if too_large else "malformed CSV", str(error)
                )
                continue
            joined = "\x1f".join(values)
            batch.size += len(joined)
            if not values:
                continue
            if len(values) != len(header):
                batch.add_problem(
                    row, "wrong number of columns", f"{len(values)} instead of {len(header)}: {joined[:150]}"
                )
            elif not joined.isascii() and any("\udc80" <= character <= "\udcff" for character in joined):
                batch.add_problem(row, "invalid UTF-8", joined.encode("utf-8", "surrogateescape")[:_EXCERPT])
            else:
                batch.rows.append(row)
                batch.records.append(dict(zip(header, values, strict=True)))
            if batch.full:
                yield batch
                batch = Batch(file)
        yield batch


def _from_arrow(file: InputFile, tables: Iterator[Any]) -> Iterator[Batch]:
    row = 1
    for table in tables:
        for start in range(0, table.num_rows, BATCH_RECORDS):
            part = table.slice(start, BATCH_RECORDS)
            records = part.to_pylist()
            yield Batch(file, list(range(row, row + len(records))), records, size=part.nbytes)
            row += len(records)


def _read_parquet(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    import pyarrow.parquet as pq

    del max_record_bytes
    with pq.ParquetFile(file.path) as parquet:
        present = [name for name in columns if name in parquet.schema_arrow.names]
        if not present:
            _no_field(file, columns, parquet.schema_arrow.names)
        yield from _from_arrow(file, parquet.iter_batches(batch_size=1024, columns=present))


def _read_arrow(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    import pyarrow as pa

    del max_record_bytes
    with pa.memory_map(str(file.path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        present = [name for name in columns if name in reader.schema.names]
        if not present:
            _no_field(file, columns, reader.schema.names)
        parts = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else iter(reader)
        yield from _from_arrow(file, (part.select(present) for part in parts))


def _no_field(file: InputFile, columns: Sequence[str], present: Sequence[str]) -> None:
    raise InputError(
        f"{file.name}: no field {columns[0]!r}; it has: {', '.join(present)}: set fields.text to the one with the text"
    )


def _read_text(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    del columns
    batch = Batch(file)
    with file.open() as stream:
        content = stream.read(max_record_bytes + 1)
    batch.size = len(content)
    if len(content) > max_record_bytes:
        batch.add_problem(1, "record larger than max_record_bytes", content[: 4 * _EXCERPT])
    else:
        _take_text(batch, 1, content)
    yield batch


def _read_text_lines(file: InputFile, columns: Sequence[str], max_record_bytes: int) -> Iterator[Batch]:
    del columns
    return _read_lines(file, max_record_bytes, lambda batch, row, line: _take_text(batch, row, line.rstrip(b"\r\n")))


def _take_text(batch: Batch, row: int, content: bytes) -> None:
    try:
        text = content.decode("utf-8-sig" if row == 1 else "utf-8")
    except UnicodeDecodeError:
        batch.add_problem(row, "invalid UTF-8", content[: 4 * _EXCERPT])
    else:
        batch.rows.append(row)
        batch.records.append({"text": text})
