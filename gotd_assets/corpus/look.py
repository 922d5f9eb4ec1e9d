"""A first look into files: which fields their records have, which one is the text, and about how many there are."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.corpus.files.paths import find_files
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from gotd_assets.corpus.files.input_file import InputFile

_RECORDS = 200
# A JSON array is read whole for its first records; beyond this it is left to the reader.
_LARGEST_JSON = 64 * 2**20
_USUAL = ("text", "content", "body")


@dataclasses.dataclass(frozen=True)
class Look:
    """What a first look at files found.

    Attributes:
        files: number of files.
        records: about how many records are in all of them; a lower bound where files are compressed.
        fields: names of the fields of their records.
        field: the one that is most likely the text; None if none holds any.
        texts: the text of the first records.
    """

    files: int
    records: int
    fields: tuple[str, ...]
    field: str | None
    texts: tuple[str, ...]


def look(path: Path, label: str) -> Look:
    """Look into the first file that `path` (file, folder or glob) means.

    Args:
        path: absolute, or relative to the working directory.
        label: names it in errors.

    Raises:
        InputError: it matches nothing, or its format cannot be told.
    """
    files = find_files(path, "auto", Path.cwd(), label).files
    first = files[0]
    try:
        records, total = _first_records(first)
    except (OSError, ValueError, ArithmeticError) as error:
        raise InputError(f"{label}: {first.path} cannot be read as {first.format} ({error})") from error
    if first.format == "text":
        total = len(files)
    else:
        size = max(first.path.stat().st_size, 1)
        total = round(total * sum(file.path.stat().st_size for file in files) / size)
    fields = tuple(dict.fromkeys(name for record in records for name in record))
    field = _text_field(records, fields)
    texts = tuple(str(record[field]) for record in records if field and isinstance(record.get(field), str))
    return Look(len(files), total, fields, field, texts)


def _first_records(file: InputFile) -> tuple[list[dict[str, Any]], int]:
    """Some records of a file, and about how many it has."""
    match file.format:
        case "parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(file.path) as parquet:
                batch = next(parquet.iter_batches(batch_size=_RECORDS), None)
                return ([] if batch is None else batch.to_pylist()), parquet.metadata.num_rows
        case "arrow":
            return _of_arrow(file)
        case "json" if file.path.stat().st_size <= _LARGEST_JSON:
            with file.open() as stream:
                content = json.loads(stream.read())
            records = [record for record in content if isinstance(record, dict)] if isinstance(content, list) else []
            return records[:_RECORDS], len(records)
        case "text" | "text-lines":
            with file.open() as stream:
                return [{"text": stream.read(1 << 16).decode("utf-8", errors="replace")}], 1
        case _:
            return _of_lines(file)


def _of_arrow(file: InputFile) -> tuple[list[dict[str, Any]], int]:
    import pyarrow as pa

    with pa.memory_map(str(file.path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        table = (pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)).read_all()
        return table.slice(0, _RECORDS).to_pylist(), table.num_rows


def _of_lines(file: InputFile) -> tuple[list[dict[str, Any]], int]:
    """Of JSON lines, CSV and TSV: the first records, and a number that follows from their length."""
    with file.open() as stream:
        lines = [line for line in itertools.islice(stream, 4 * _RECORDS) if line.strip()]
    if file.format in ("csv", "tsv"):
        text = io.StringIO(b"".join(lines).decode("utf-8-sig", errors="replace"))
        rows: Iterator[Any] = csv.DictReader(text, delimiter="\t" if file.format == "tsv" else ",")
        records = list(itertools.islice(rows, _RECORDS))
        share = len(records) / max(len(records), sum(1 for _ in rows) + len(records))
    else:
        parsed = (_object(line) for line in lines[:_RECORDS])
        records = [record for record in parsed if record is not None]
        share = min(1.0, _RECORDS / max(len(lines), 1))
    if len(lines) < 4 * _RECORDS:
        return records, round(len(records) / share) if share else 0
    read = sum(map(len, lines)) * share
    return records, max(len(records), round(len(records) * file.path.stat().st_size / max(read, 1)))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _text_field(records: list[dict[str, Any]], fields: tuple[str, ...]) -> str | None:
    """The field called as text usually is, else the one with most characters."""
    lengths = {
        name: sum(len(value) for record in records if isinstance(value := record.get(name), str)) for name in fields
    }
    usual = next((name for name in _USUAL if lengths.get(name)), None)
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    return usual or (longest if longest is not None and lengths[longest] else None)
