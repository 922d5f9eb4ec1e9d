"""Records as they stand in the user's files, copied out byte for byte, in the format that they came in."""

from __future__ import annotations

import collections
import csv
import io
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gotd_assets.corpus.reading.json_arrays import json_elements
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from gotd_assets.corpus.files.input_file import InputFile

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STATE, _INFO = "state.json", "dataset_info.json"
Place = tuple["InputFile", int]
"""A file and a row of it, from 1."""


def copy_originals(places: Sequence[Place], out: Path, name: str) -> list[Path]:
    """Write the records at `places`, in that order, to files called `name` in the folder `out`; their paths.

    There is a file for each format. Lines, CSV rows and elements of JSON arrays keep their bytes (decompressed), tables
    their columns and types; whole texts are copied as files. Of a saved Hugging Face dataset comes one.

    Raises:
        InputError: a place is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    by_kind: dict[str, list[Place]] = collections.defaultdict(list)
    for file, row in places:
        by_kind[_kind(file)].append((file, row))
    written = []
    for kind, some in by_kind.items():
        written += _WRITERS[kind](some, out, name)
    return written


def _kind(file: InputFile) -> str:
    if file.format != "json":
        return file.format
    with file.open() as stream:
        head = stream.read(4096).removeprefix(_BYTE_ORDER_MARK).lstrip()
    return "json" if head.startswith(b"[") else "jsonl"


def _write_lines(places: Sequence[Place], out: Path, name: str) -> list[Path]:
    found = _found(places, _numbered_lines)
    ending = "txt" if places[0][0].format == "text-lines" else "jsonl"
    path = out / f"{name}.{ending}"
    path.write_bytes(b"".join(_ended(found[file.number, row]) for file, row in places))
    return [path]


def _write_array(places: Sequence[Place], out: Path, name: str) -> list[Path]:
    found = _found(places, _elements)
    path = out / f"{name}.json"
    path.write_bytes(b"[\n" + b",\n".join(found[file.number, row] for file, row in places) + b"\n]\n")
    return [path]


def _write_csv(places: Sequence[Place], out: Path, name: str) -> list[Path]:
    """A file for each header: what has other columns cannot stand in one table."""
    headers: dict[bytes, list[Place]] = collections.defaultdict(list)
    of_file: dict[int, bytes] = {}
    for file, row in places:
        if file.number not in of_file:
            of_file[file.number] = next(_csv_records(file))[1]
        headers[of_file[file.number].strip()].append((file, row))
    written = []
    for number, some in enumerate(headers.values()):
        header = of_file[some[0][0].number]
        found = _found(some, _csv_records)
        path = out / f"{name}{f'-{number + 1}' if number else ''}.{some[0][0].format}"
        path.write_bytes(_ended(header) + b"".join(_ended(found[file.number, row]) for file, row in some))
        written.append(path)
    return written


def _write_texts(places: Sequence[Place], out: Path, name: str) -> list[Path]:
    folder = out / name
    folder.mkdir(exist_ok=True)
    width = len(str(len(places)))
    copies = []
    for rank, (file, _) in enumerate(places, 1):
        copies.append(folder / f"{rank:0{width}}-{file.path.name}")
        shutil.copyfile(file.path, copies[-1])
    return copies


def _write_parquet(places: Sequence[Place], out: Path, name: str) -> list[Path]:
    import pyarrow.parquet as pq

    path = out / f"{name}.parquet"
    pq.write_table(_table(places, lambda file: pq.ParquetFile(file.path).iter_batches()), path)
    return [path]


def _write_arrow(places: Sequence[Place], out: Path, name: str) -> list[Path]:
    import pyarrow as pa

    table = _table(places, _arrow_batches)
    first = places[0][0].path
    if not (first.parent / _STATE).is_file():
        path = out / f"{name}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return [path]
    folder, data = out / name, "data-00000-of-00001.arrow"
    folder.mkdir(exist_ok=True)
    with pa.OSFile(str(folder / data), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    state = json.loads((first.parent / _STATE).read_text(encoding="utf-8"))
    (folder / _STATE).write_text(json.dumps({**state, "_data_files": [{"filename": data}]}, indent=2), encoding="utf-8")
    if (first.parent / _INFO).is_file():
        shutil.copyfile(first.parent / _INFO, folder / _INFO)
    return [folder]


_WRITERS: Mapping[str, Callable[[Sequence[Place], Path, str], list[Path]]] = {
    "jsonl": _write_lines,
    "text-lines": _write_lines,
    "json": _write_array,
    "csv": _write_csv,
    "tsv": _write_csv,
    "text": _write_texts,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
}


def _found(
    places: Sequence[Place], records: Callable[[InputFile], Iterator[tuple[int, bytes]]]
) -> dict[tuple[int, int], bytes]:
    """The bytes of each place, reading every file once."""
    wanted: dict[int, tuple[InputFile, set[int]]] = {}
    for file, row in places:
        wanted.setdefault(file.number, (file, set()))[1].add(row)
    found: dict[tuple[int, int], bytes] = {}
    for file, rows in wanted.values():
        for row, content in records(file):
            if row in rows:
                found[file.number, row] = content
        _require(file, rows - {row for number, row in found if number == file.number})
    return found


def _require(file: InputFile, missing: Collection[int]) -> None:
    if missing:
        raise InputError(f"{file.name} has no record {min(missing)}: it changed since the selection was made")


def _numbered_lines(file: InputFile) -> Iterator[tuple[int, bytes]]:
    with file.open() as stream:
        for row, line in enumerate(stream, 1):
            yield row, line.removeprefix(_BYTE_ORDER_MARK) if row == 1 else line


def _elements(file: InputFile) -> Iterator[tuple[int, bytes]]:
    with file.open() as stream:
        yield from enumerate(json_elements(cast("io.BufferedIOBase", stream), 2**40), 1)


def _csv_records(file: InputFile) -> Iterator[tuple[int, bytes]]:
    """Each record with the lines that it takes; number 0 is the header."""
    with file.open() as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for line in text:
                taken.append(line)
                yield line

        csv.field_size_limit(2**31 - 1)
        reader = csv.reader(lines(), delimiter="\t" if file.format == "tsv" else ",")
        for row, _ in enumerate(reader):
            yield row, "".join(taken).encode("utf-8", "surrogateescape")
            taken.clear()


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _arrow_batches(file: InputFile) -> Iterator[Any]:
    import pyarrow as pa

    with pa.memory_map(str(file.path)) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        yield from (
            (reader.get_batch(number) for number in range(reader.num_record_batches)) if is_file else iter(reader)
        )


def _table(places: Sequence[Place], batches: Callable[[InputFile], Iterator[Any]]) -> pa.Table:
    """The rows at `places` as one table, in their order."""
    import pyarrow as pa

    wanted: dict[int, tuple[InputFile, set[int]]] = {}
    for file, row in places:
        wanted.setdefault(file.number, (file, set()))[1].add(row)
    # Slices, since Arrow cannot take rows of every type (strings as Polars writes them).
    found: dict[tuple[int, int], pa.Table] = {}
    for file, rows in wanted.values():
        before = 0
        for batch in batches(file):
            for row in rows:
                if before < row <= before + batch.num_rows:
                    found[file.number, row] = pa.Table.from_batches([batch.slice(row - before - 1, 1)])
            before += batch.num_rows
        _require(file, [row for row in rows if row > before])
    return pa.concat_tables([found[file.number, row] for file, row in places], promote_options="default")
