"""Parquet and Arrow: one bad value costs its row, a damaged part itself, and no file the process or its memory."""

import json
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.files.input_file import InputFile
from gotd_assets.corpus.reading import columnar
from gotd_assets.corpus.reading.portion import Wanted
from gotd_assets.corpus.reading.records import portions
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.settings.texts import PreparationSettings, SourceSettings

FORMS = ("parquet", "arrow", "arrows")


def write(table: pa.Table, path: Path, rows: int = 500) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows)
        return
    open_one = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as sink, open_one(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)


def read(folder: Path, **entry: object) -> tuple[dict[str, object], pl.DataFrame, list[dict[str, object]]]:
    source = SourceSettings.model_validate({"name": "s", **entry})
    report = read_documents(source, PreparationSettings(), folder, folder / "out")
    quarantine = [json.loads(line) for line in (folder / "out" / "quarantine.jsonl").read_text().splitlines()]
    return report.as_summary(), scan_documents(folder / "out").collect(), quarantine


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_string_that_is_no_utf_8_is_set_aside_with_its_row(tmp_path: Path, form: str, kind: pa.DataType) -> None:
    raw = pa.binary() if kind == pa.string() else pa.large_binary()
    values = [b"caf\xe9" if n in (0, 700) else b"text %d" % n for n in range(1200)]
    write(pa.table({"text": pa.array(values, raw).view(kind)}), tmp_path / f"a.{form}")
    _, documents, quarantine = read(tmp_path, path=f"a.{form}")
    assert [(bad["row"], bad["reason"]) for bad in quarantine] == [(1, "invalid UTF-8"), (701, "invalid UTF-8")]
    assert quarantine[0]["excerpt"] == "caf\ufffd"
    rows = [int(origin.rpartition(":")[2]) for origin in documents["origin"]]
    assert rows == [n + 1 for n in range(1200) if n not in (0, 700)]
    assert documents["text"].to_list() == [f"text {row - 1}" for row in rows]


def test_so_is_one_inside_a_structure_and_a_dictionary(tmp_path: Path) -> None:
    bad = pa.array([b"good", b"\xff", b"fine"], pa.binary()).view(pa.string())
    inner = pa.StructArray.from_arrays([bad], names=["body"])
    write(pa.table({"text": pa.DictionaryArray.from_arrays([0, 1, 2, 0], bad)}), tmp_path / "a.arrow")
    write(pa.table({"text": inner}), tmp_path / "b.parquet")
    assert read(tmp_path, path="b.parquet", fields={"text": "text.body"})[1]["text"].to_list() == ["good", "fine"]
    summary, documents, _ = read(tmp_path, path="a.arrow")
    assert summary["quarantined_by_reason"] == {"invalid UTF-8": 4 - summary["kept"] - summary["duplicates"]}
    assert set(documents["text"]) <= {"good", "fine"}


@pytest.mark.parametrize("form", FORMS)
def test_dates_and_times_that_python_has_not(tmp_path: Path, form: str) -> None:
    late = 253_402_300_800
    table = pa.table(
        {
            "text": ["first", "beyond", "nothing"],
            "when": pa.array([0, late * 10**6, None], pa.timestamp("us")),
            "day": pa.array([0, 0, None], pa.date32()),
            "zone": pa.array([0, 1, 2], pa.timestamp("s", tz="Mars/Phobos")),
        }
    )
    write(table, tmp_path / f"a.{form}")
    _, documents, quarantine = read(tmp_path, path=f"a.{form}", fields={"keep": ["when", "day"]})
    assert documents["text"].to_list() == ["first", "nothing"]
    (bad,) = quarantine
    assert (bad["row"], bad["reason"]) == (2, "field 'when' cannot be read")
    _, documents, quarantine = read(tmp_path, path=f"a.{form}", fields={"keep": ["zone"]})
    assert not quarantine
    assert documents["zone"].to_list()[1] == '"1970-01-01 00:00:01+00:00"'


def test_a_damaged_row_group_costs_its_rows(tmp_path: Path) -> None:
    write(pa.table({"text": [f"row {n} " * 10 for n in range(5000)]}), tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    third = pq.read_metadata(tmp_path / "a.parquet").row_group(3).column(0)
    begin = third.dictionary_page_offset + third.total_compressed_size // 2
    content[begin : begin + 64] = bytes(64)
    (tmp_path / "a.parquet").write_bytes(content)
    summary, documents, _ = read(tmp_path, path="a.parquet")
    assert documents.height == 4500
    (damage,) = summary["damaged"]["named"]
    assert damage["lost_rows"] == 500
    assert 0 < damage["lost_bytes"] < len(content) / 5


def read_in_a_small_process(folder: Path, name: str, limit: int) -> tuple[int, int, int]:
    """Rows, and peak memory in MiB of a process that reads and of the one that reads for it."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from gotd_assets.corpus.files.input_file import InputFile\n"
        "from gotd_assets.corpus.reading import columnar\n"
        "from gotd_assets.corpus.reading.portion import Wanted\n"
        "from gotd_assets.corpus.reading.records import portions, read_portion\n"
        "path = Path(sys.argv[1]); wanted = Wanted(['text'], int(sys.argv[2]))\n"
        "form = {'.parquet': 'parquet', '.csv': 'csv'}.get(Path(path.name.removesuffix('.gz')).suffix, 'jsonl')\n"
        "rows = sum(len(b.records) for p in portions([InputFile(path, path.name, form)], wanted)\n"
        "           for b in read_portion(p, wanted))\n"
        "while columnar._IDLE: columnar._IDLE.pop().end()\n"
        # Of this program alone: what getrusage says begins with the memory of whoever started it.
        "own = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(rows, own // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, folder / name, str(limit)], capture_output=True, text=True, check=True
    )
    rows, own, other = map(int, done.stdout.split())
    return rows, own, other


def test_a_kilobyte_of_parquet_that_unpacks_to_gigabytes_is_read_in_bounded_memory(tmp_path: Path) -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["y" * 4_500_000]))
    pq.write_table(
        pa.table({"text": values}), tmp_path / "a.parquet", compression="zstd", dictionary_pagesize_limit=10**8
    )
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    rows, own, other = read_in_a_small_process(tmp_path, "a.parquet", 2**20)
    assert rows == 0
    assert own < 400
    assert other < 1000


def test_a_megabyte_of_gz_that_unpacks_to_a_gigabyte_is_read_in_bounded_memory(tmp_path: Path) -> None:
    import gzip

    block = b"x" * 2**20
    with gzip.open(tmp_path / "a.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"text,n\nbefore,1\n")
        for _ in range(300):
            file.write(block)
        file.write(b",2\nafter,3\n")
    rows, own, _ = read_in_a_small_process(tmp_path, "a.csv.gz", 2**20)
    assert rows == 2
    assert own < 300


def test_a_reader_that_dies_costs_the_part_it_died_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(pa.table({"text": [f"row {n}" for n in range(2000)]}), tmp_path / "a.parquet")
    received = columnar._Reader.receive
    parts = []

    def receive(self: columnar._Reader) -> object:
        answer = received(self)
        parts.append(getattr(answer, "number", None))
        if parts[-1] == 1 and parts.count(1) == 1:
            self._process.kill()
            self._process.wait()
            while received(self) is not None:
                pass
        return answer

    monkeypatch.setattr(columnar._Reader, "receive", receive)
    summary, documents, _ = read(tmp_path, path="a.parquet")
    assert documents.height == 1500
    assert documents["origin"].to_list()[500] == "a.parquet:1001"
    (damage,) = summary["damaged"]["named"]
    assert (damage["lost_rows"], "signal 9" in damage["reason"]) == (500, True)


def test_altered_arrow_files_end_no_process(tmp_path: Path) -> None:
    write(pa.table({"text": [f"row {n} " * 3 for n in range(300)]}), tmp_path / "a.arrow", 100)
    sound = (tmp_path / "a.arrow").read_bytes()
    wanted = Wanted(["text"], 2**20)
    for seed in range(60):
        draw = random.Random(seed)
        content = bytearray(sound)
        for _ in range(draw.choice([1, 3, 20])):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (tmp_path / "a.arrow").write_bytes(content)
        rows = 0
        for portion in portions([InputFile(tmp_path / "a.arrow", "a.arrow", "arrow")], wanted):
            rows += sum(table.num_rows for table in portion.tables)
        assert rows <= 300
