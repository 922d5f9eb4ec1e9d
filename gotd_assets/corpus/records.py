"""From files to records, a batch at a time; what cannot be read becomes a reason, not an exception."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import polars as pl
import pyarrow as pa

from gotd_assets.errors import InputError
from gotd_assets.settings import TextInputSettings

Batch: TypeAlias = pl.DataFrame
"""Columns row (int64, from 1), text (str or null), reason (str or null: why there is no text), excerpt (str or null),
kept (bool: passes the filter), and the fields to keep, as strings."""

_CHUNK_BYTES = 16 * 2**20
_BATCH_ROWS = 20_000
_EXCERPT = 200
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowInvalid)


def read_records(file: Path, kind: str, entry: TextInputSettings) -> Iterator[Batch]:
    """Batches of the records of `file`, read as format `kind`, in order.

    A file that breaks off (a truncated archive, a corrupt footer) gives what came before and one record with the
    reason.

    Raises:
        InputError: the text field is in none of a batch's records, or the filter is not valid SQL.
    """
    rows = 0
    try:
        for batch in _READERS[kind](file, entry):
            rows += batch.height
            yield batch
    except _BROKEN as error:
        reason = f"the file breaks off here: {type(error).__name__}"
        yield _failures([(rows + 1, reason, str(error)[:_EXCERPT])])


def open_binary(file: Path) -> IO[bytes]:
    """`file` for reading, decompressed according to its ending."""
    match file.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.open(file))
        case ".bz2":
            return cast("IO[bytes]", bz2.open(file))
        case ".xz":
            return cast("IO[bytes]", lzma.open(file))
        case ".zst":
            return cast("IO[bytes]", pa.input_stream(str(file), compression="zstd"))
        case _:
            return file.open("rb")


def _json_lines(file: Path, entry: TextInputSettings) -> Iterator[Batch]:
    for first, lines, failures in _lines(file, entry.max_record_bytes):
        frame = pl.DataFrame(
            {"row": range(first, first + len(lines)), "line": lines}, schema={"row": pl.Int64, "line": pl.String}
        )
        yield _combine(_from_json(frame.filter(pl.col("line").str.strip_chars() != ""), entry, file), failures)


def _json_array(file: Path, entry: TextInputSettings) -> Iterator[Batch]:
    import json

    with open_binary(file) as stream:
        try:
            content = json.load(stream)
        except ValueError as error:
            yield _failures([(1, f"not valid JSON: {error}", "")])
            return
    records = content if isinstance(content, list) else [content]
    for first in range(0, len(records), _BATCH_ROWS):
        lines = [json.dumps(record, ensure_ascii=False) for record in records[first : first + _BATCH_ROWS]]
        frame = pl.DataFrame({"row": range(first + 1, first + 1 + len(lines)), "line": lines})
        yield _from_json(frame, entry, file)


def _text_lines(file: Path, entry: TextInputSettings) -> Iterator[Batch]:
    for first, lines, failures in _lines(file, entry.max_record_bytes):
        frame = pl.DataFrame(
            {"row": range(first, first + len(lines)), "text": lines}, schema={"row": pl.Int64, "text": pl.String}
        )
        yield _combine(_complete(frame.filter(pl.col("text").str.strip_chars() != "")), failures)


def _whole_text(file: Path, entry: TextInputSettings) -> Iterator[Batch]:
    with open_binary(file) as stream:
        content = stream.read(entry.max_record_bytes + 1)
    if len(content) > entry.max_record_bytes:
        yield _failures([(1, _too_large(entry.max_record_bytes), content[:_EXCERPT].decode(errors="replace"))])
        return
    try:
        yield _complete(pl.DataFrame({"row": [1], "text": [content.decode("utf-8-sig")]}))
    except UnicodeDecodeError as error:
        yield _failures(
            [(1, f"not UTF-8: {error.reason} at byte {error.start}", content[:_EXCERPT].decode(errors="replace"))]
        )


def _delimited(delimiter: str, file: Path, entry: TextInputSettings) -> Iterator[Batch]:
    import csv
    import io

    limit = csv.field_size_limit(entry.max_record_bytes)
    try:
        with (
            open_binary(file) as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            reader = csv.reader(text, delimiter=delimiter)
            header = next(reader, [])
            rows: list[tuple[int, list[str]]] = []
            failures: list[tuple[int, str, str]] = []
            number = 0
            while True:
                try:
                    record = next(reader)
                except StopIteration:
                    break
                except csv.Error as error:
                    number += 1
                    failures.append((number, f"malformed record: {error}", ""))
                    continue
                number += 1
                if len(record) != len(header):
                    excerpt = delimiter.join(record)[:_EXCERPT].encode(errors="replace").decode()
                    failures.append((number, f"{len(record)} fields where the header has {len(header)}", excerpt))
                elif any(0xDC80 <= ord(sign) <= 0xDCFF for field in record if not field.isascii() for sign in field):
                    failures.append((number, "not UTF-8", ""))
                else:
                    rows.append((number, record))
                if len(rows) >= _BATCH_ROWS:
                    yield _from_columns(_columns(rows, header), entry, file, failures)
                    rows, failures = [], []
            yield _from_columns(_columns(rows, header), entry, file, failures)
    finally:
        csv.field_size_limit(limit)


def _parquet(file: Path, entry: TextInputSettings) -> Iterator[Batch]:
    import pyarrow.parquet as pq

    first = 1
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH_ROWS):
        yield _from_arrow(batch, first, entry, file)
        first += batch.num_rows


def _arrow(file: Path, entry: TextInputSettings) -> Iterator[Batch]:
    first = 1
    with pa.memory_map(str(file)) as source:
        try:
            reader = pa.ipc.open_file(source)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            source.seek(0)
            batches = iter(pa.ipc.open_stream(source))
        for batch in batches:
            yield _from_arrow(batch, first, entry, file)
            first += batch.num_rows


_READERS: dict[str, Any] = {
    "jsonl": _json_lines,
    "json": _json_array,
    "csv": lambda file, entry: _delimited(",", file, entry),
    "tsv": lambda file, entry: _delimited("\t", file, entry),
    "parquet": _parquet,
    "arrow": _arrow,
    "text": _whole_text,
    "text-lines": _text_lines,
}


def _lines(file: Path, limit: int) -> Iterator[tuple[int, list[str], list[tuple[int, str, str]]]]:
    """Lines in batches: number of the first, the lines (empty where there is a failure), and the failures.

    No more than a chunk and a record of the largest allowed size are in memory, whatever the file holds.
    """
    number, rest, skipping = 1, b"", False
    with open_binary(file) as stream:
        while True:
            broken: Exception | None = None
            try:
                chunk = stream.read(_CHUNK_BYTES)
            except _BROKEN as error:
                chunk, broken = b"", error
            if skipping:
                end = chunk.find(b"\n")
                if end < 0 and chunk:
                    continue
                chunk, skipping = (chunk[end + 1 :] if end >= 0 else b""), False
            data = rest + chunk
            complete, _, rest = data.rpartition(b"\n") if chunk else (data, b"", b"")
            failures: list[tuple[int, str, str]] = []
            lines: list[str] = []
            if complete:
                lines = _decode(complete.split(b"\n"), number, limit, failures)
            if len(rest) > limit:
                lines.append("")
                failures.append((number + len(lines) - 1, _too_large(limit), rest[:_EXCERPT].decode(errors="replace")))
                rest, skipping = b"", True
            if lines:
                yield number, lines, failures
                number += len(lines)
            if broken is not None:
                raise broken
            if not chunk and not skipping and not rest:
                return


def _decode(raw: list[bytes], first: int, limit: int, failures: list[tuple[int, str, str]]) -> list[str]:
    try:
        lines = b"\n".join(raw).decode().split("\n")
    except UnicodeDecodeError:
        lines = []
        for offset, line in enumerate(raw):
            try:
                lines.append(line.decode())
            except UnicodeDecodeError as error:
                lines.append("")
                reason = f"not UTF-8: {error.reason} at byte {error.start}"
                failures.append((first + offset, reason, line[:_EXCERPT].decode(errors="replace")))
    if max(map(len, raw)) > limit:
        for offset, line in enumerate(raw):
            if len(line) > limit:
                lines[offset] = ""
                failures.append((first + offset, _too_large(limit), line[:_EXCERPT].decode(errors="replace")))
    return lines


def _from_json(frame: pl.DataFrame, entry: TextInputSettings, file: Path) -> Batch:
    """Texts and kept fields out of JSON objects in column `line`; each record fails alone."""
    import duckdb

    query = (
        "WITH parsed AS (SELECT row, line, CASE WHEN json_valid(line) THEN line END AS j FROM frame) "
        "SELECT row, line, j IS NOT NULL AS valid, json_type(j, $text) AS type, json_extract_string(j, $text) AS text, "
        "json_extract_string(j, $keep::VARCHAR[]) AS keep FROM parsed ORDER BY row"
    )
    paths = {"text": _pointer(entry.fields.text), "keep": [_pointer(path) for path in entry.fields.keep]}
    with duckdb.connect(config={"threads": 2, "enable_external_access": False}) as connection:
        connection.register("frame", frame.to_arrow())
        parsed = cast("pl.DataFrame", pl.from_arrow(connection.execute(query, paths).to_arrow_table()))
    if parsed.height and entry.filter is not None:
        names = parsed.filter("valid").get_column("line")
        fields = (
            pl.read_ndjson("\n".join(names.to_list()).encode(), infer_schema_length=None)
            if len(names)
            else pl.DataFrame()
        )
        passed = fields_that_pass(fields, entry)
        parsed = parsed.with_columns(kept=pl.lit(value=True))
        chosen = parsed.filter("valid").with_columns(kept=passed)
        parsed = pl.concat([chosen, parsed.filter(~pl.col("valid"))]).sort("row")
    else:
        parsed = parsed.with_columns(kept=pl.lit(value=True))
    if parsed.height and not parsed.get_column("type").is_not_null().any() and parsed.get_column("valid").any():
        example = parsed.filter("valid").get_column("line")[0]
        raise _no_field(entry, file, f"a record begins: {example[:_EXCERPT]}")
    reason = (
        pl.when(~pl.col("valid"))
        .then(pl.lit("not valid JSON"))
        .when(pl.col("type").is_null())
        .then(pl.lit(f"no field {entry.fields.text!r}"))
        .when(pl.col("type") != "VARCHAR")
        .then(pl.format("field '{}' is {}, not a string", pl.lit(entry.fields.text), pl.col("type").str.to_lowercase()))
    )
    kept = [pl.col("keep").list.get(position).alias(name) for position, name in enumerate(entry.fields.keep)]
    return (
        parsed.with_columns(reason=reason)
        .with_columns(
            text=pl.when(pl.col("reason").is_null()).then("text"),
            excerpt=pl.when(pl.col("reason").is_not_null()).then(pl.col("line").str.slice(0, _EXCERPT)),
        )
        .select("row", "text", "reason", "excerpt", "kept", *kept)
    )


def _from_arrow(batch: Any, first: int, entry: TextInputSettings, file: Path) -> Batch:
    frame = cast("pl.DataFrame", pl.from_arrow(batch))
    return _from_columns(frame.with_row_index("__row", first), entry, file, [])


def _from_columns(
    frame: pl.DataFrame, entry: TextInputSettings, file: Path, failures: list[tuple[int, str, str]]
) -> Batch:
    if "__row" not in frame.columns or not frame.height:
        return _failures(failures, entry.fields.keep)
    passed = fields_that_pass(frame.drop("__row"), entry)
    text, kind = _field(frame, entry.fields.text, entry, file)
    columns = [pl.col("__row").cast(pl.Int64).alias("row"), text.alias("text")]
    for name in entry.fields.keep:
        columns.append(_field(frame, name, entry, file)[0].cast(pl.String).alias(name))
    result = frame.select(columns).with_columns(kept=passed)
    if kind == pl.String:
        result = result.with_columns(
            reason=pl.when(pl.col("text").is_null()).then(pl.lit(f"field {entry.fields.text!r} is null"))
        )
    else:
        result = result.with_columns(
            text=pl.lit(None, pl.String), reason=pl.lit(f"field {entry.fields.text!r} is {kind}, not a string")
        )
    result = result.with_columns(excerpt=pl.lit(None, pl.String)).select(
        "row", "text", "reason", "excerpt", "kept", *entry.fields.keep
    )
    return _combine(result, failures)


def fields_that_pass(frame: pl.DataFrame, entry: TextInputSettings) -> pl.Series:
    """For each record of `frame`, whether the filter holds; null counts as no.

    The condition runs in a DuckDB without access to files or network.

    Raises:
        InputError: it is not valid SQL for these records.
    """
    if entry.filter is None:
        return pl.Series("kept", [True]).new_from_index(0, frame.height)
    import duckdb

    try:
        with duckdb.connect(config={"enable_external_access": False, "lock_configuration": True}) as connection:
            connection.register("records", frame.with_row_index("__position").to_arrow())
            relation = connection.table("records").project("__position, (" + entry.filter + ")::BOOLEAN AS kept")
            result = cast("pl.DataFrame", pl.from_arrow(relation.to_arrow_table()))
    except duckdb.Error as error:
        raise InputError(f"{entry.name!r}: filter {entry.filter!r} is not a valid condition: {error}") from error
    return result.sort("__position").get_column("kept").fill_null(value=False)


def _field(frame: pl.DataFrame, path: str, entry: TextInputSettings, file: Path) -> tuple[pl.Expr, pl.DataType]:
    first, *inner = [path] if path in frame.columns else path.split(".")
    if first not in frame.columns:
        raise _no_field(entry, file, f"the fields are: {', '.join(name for name in frame.columns if name != '__row')}")
    kind: pl.DataType = cast("pl.DataType", frame.schema[first])
    expression = pl.col(first)
    for name in inner:
        if not isinstance(kind, pl.Struct) or name not in dict(kind):
            raise _no_field(entry, file, f"{first!r} is {kind}")
        expression, kind = expression.struct.field(name), cast("pl.DataType", dict(kind)[name])
    return expression, kind


def _no_field(entry: TextInputSettings, file: Path, found: str) -> InputError:
    return InputError(
        f"{entry.name!r}: {file} has no field {entry.fields.text!r} ({found}); set `fields.text` in gotd.yaml"
    )


def _columns(rows: list[tuple[int, list[str]]], header: list[str]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame()
    columns = list(zip(*(record for _, record in rows), strict=True))
    return pl.DataFrame({"__row": [number for number, _ in rows], **dict(zip(header, columns, strict=True))})


def _pointer(path: str) -> str:
    return "$" + "".join(f'."{part}"' for part in path.split("."))


def _complete(frame: pl.DataFrame) -> Batch:
    nothing = pl.lit(None, pl.String)
    return frame.select(pl.col("row").cast(pl.Int64), "text", reason=nothing, excerpt=nothing, kept=pl.lit(value=True))


def _failures(failures: list[tuple[int, str, str]], keep: list[str] | None = None) -> Batch:
    schema = {"row": pl.Int64, "reason": pl.String, "excerpt": pl.String}
    frame = pl.DataFrame(failures, schema=schema, orient="row")
    nothing = [pl.lit(None, pl.String).alias(name) for name in keep or []]
    return frame.select(
        "row", pl.lit(None, pl.String).alias("text"), "reason", "excerpt", pl.lit(value=True).alias("kept"), *nothing
    )


def _combine(batch: Batch, failures: list[tuple[int, str, str]]) -> Batch:
    return batch if not failures else pl.concat([batch, _failures(failures)], how="diagonal").sort("row")


def _too_large(limit: int) -> str:
    return f"larger than max_record_bytes ({limit:,})"
