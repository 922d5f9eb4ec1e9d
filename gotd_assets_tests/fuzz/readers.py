"""Reads thousands of altered files of every format: `python -m gotd_assets_tests.fuzz.readers`.

Each reading must end with documents or a sentence (InputError), within its time, and no process may take a gigabyte.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import io
import json
import lzma
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.reading import columnar
from gotd_assets.errors import InputError
from gotd_assets.settings.texts import PreparationSettings, SourceSettings

MEMORY_MIB = 1000
SECONDS_A_FILE = 60.0
_ROWS = 60
Maker = Callable[[random.Random], bytes]


def _records(draw: random.Random) -> list[dict[str, object]]:
    words = ["plain", 'with "quotes"', "two\nlines", "é ü 中文", "<p>a &amp; b</p>", "", "a,b;c\td"]
    return [
        {"text": f"{draw.choice(words)} {n}", "n": draw.choice([n, 10**25, 0.5, None]), "in": {"a": [n, "x"]}}
        for n in range(_ROWS)
    ]


def _jsonl(draw: random.Random) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in _records(draw)).encode()


def _csv(delimiter: str) -> Maker:
    def make(draw: random.Random) -> bytes:
        written = io.StringIO(newline="")
        writer = csv.writer(written, delimiter=delimiter)
        writer.writerows([["text", "n"], *([record["text"], record["n"]] for record in _records(draw))])
        return written.getvalue().encode()

    return make


def _table(draw: random.Random) -> pa.Table:
    records = _records(draw)
    return pa.table(
        {
            "text": [record["text"] for record in records],
            "kind": pa.array([str(n % 3) for n in range(_ROWS)]).dictionary_encode(),
            "when": pa.array([n * 10**9 for n in range(_ROWS)], pa.timestamp("ms", tz="Europe/Paris")),
            "in": [record["in"] and {"a": str(record["in"])} for record in records],
        }
    )


def _parquet(draw: random.Random) -> bytes:
    sink = io.BytesIO()
    pq.write_table(_table(draw), sink, row_group_size=20, compression=draw.choice(["snappy", "zstd", "none"]))
    return sink.getvalue()


def _arrow(open_one: Callable[..., pa.ipc.RecordBatchStreamWriter]) -> Maker:
    def make(draw: random.Random) -> bytes:
        sink, table = io.BytesIO(), _table(draw)
        options = pa.ipc.IpcWriteOptions(compression=draw.choice([None, "lz4", "zstd"]))
        with open_one(sink, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=20)
        return sink.getvalue()

    return make


FORMATS: dict[str, Maker] = {
    "a.jsonl": _jsonl,
    "a.json": lambda draw: json.dumps(_records(draw)).encode(),
    "a.csv": _csv(","),
    "a.tsv": _csv("\t"),
    "a.txt": lambda draw: "\n".join(str(record["text"]) for record in _records(draw)).encode(),
    "a.jsonl.gz": lambda draw: gzip.compress(_jsonl(draw)),
    "a.jsonl.bz2": lambda draw: bz2.compress(_jsonl(draw)),
    "a.jsonl.xz": lambda draw: lzma.compress(_jsonl(draw)),
    "a.csv.zst": lambda draw: zstandard.compress(_csv(",")(draw)),
    "a.parquet": _parquet,
    "a.arrow": _arrow(pa.ipc.new_file),
    "b.arrow": _arrow(pa.ipc.new_stream),
}
_STRANGE = (
    b'"',
    b"\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\\",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"<!--",
    b"&#",
    b"9" * 30,
)


def altered(content: bytes, draw: random.Random) -> bytes:
    """`content` with some bytes changed, cut, repeated, moved or put in."""
    data = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        place = draw.randrange(len(data) + 1)
        length = min(draw.choice([1, 2, 4, 8, 64]), len(data) - place)
        match draw.randrange(7):
            case 0 if length:
                data[place] = draw.randrange(256)
            case 1 if length:
                data[place] ^= 1 << draw.randrange(8)
            case 2:
                data[place:place] = draw.choice(_STRANGE)
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = data[place : place + length] * draw.choice([1, 3])
            case 5:
                data[place : place + length] = draw.randbytes(length)
            case _ if draw.random() < 0.2:
                del data[place:]
    return bytes(data) or b"x"


def read_altered(name: str, seed: int, folder: Path) -> str:
    """What became of the file `name`, altered as `seed` says: 'read' or 'refused'.

    Raises:
        Exception: anything that is no sentence; this is what is looked for.
    """
    draw = random.Random(f"{name} {seed}")
    (folder / name).write_bytes(altered(FORMATS[name](draw), draw))
    fields = {} if name == "a.txt" else {"fields": {"keep": draw.choice([[], ["n"], ["kind", "when"], ["in"]])}}
    entry = SourceSettings.model_validate(
        {
            "name": "s",
            "path": name,
            "max_record_bytes": draw.choice([1024, 2**16, 2**24]),
            "filter": draw.choice([None, None, "n > 3", "\"text\" like '%1%'"]),
            **fields,
        }
    )
    preparation = PreparationSettings(strip_html=draw.random() < 0.5, chunk_by=draw.choice(["none", "characters"]))
    try:
        read_documents(entry, preparation, folder, folder / "out", workers=1)
    except InputError:
        return "refused"
    finally:
        shutil.rmtree(folder / "out", ignore_errors=True)
    return "read"


def peak_mib() -> int:
    """The most memory that this process, and any that read for it, had at once."""
    while columnar._IDLE:
        columnar._IDLE.pop().end()
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(which).ru_maxrss // 1024 for which in who)


def main() -> int:
    """Read altered files of each format, and tell how it went; 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="altered files of each format")
    parser.add_argument("--first", type=int, default=0, help="number of the first; each number is always the same file")
    parser.add_argument("--seconds", type=float, default=900, help="time for each format")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), choices=list(FORMATS))
    arguments = parser.parse_args()
    bad = 0
    for name in arguments.formats:
        started, counts = time.monotonic(), {"read": 0, "refused": 0}
        with tempfile.TemporaryDirectory(prefix="gotd-fuzz-") as place:
            for seed in range(arguments.first, arguments.first + arguments.count):
                begun = time.monotonic()
                try:
                    counts[read_altered(name, seed, Path(place))] += 1
                except Exception as error:  # noqa: BLE001 - whatever is no sentence is what is looked for
                    bad += 1
                    print(f"{name} {seed}: {type(error).__module__}.{type(error).__name__}: {error}", flush=True)
                if time.monotonic() - begun > SECONDS_A_FILE:
                    bad += 1
                    print(f"{name} {seed}: took {time.monotonic() - begun:.0f} s", flush=True)
                if time.monotonic() - started > arguments.seconds:
                    print(f"{name}: time is over after {seed + 1 - arguments.first} files", flush=True)
                    break
        peak = peak_mib()
        bad += peak > MEMORY_MIB
        print(f"{name}: {counts}, {time.monotonic() - started:.0f} s, at most {peak} MiB", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
