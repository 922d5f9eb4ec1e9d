"""Reading by several processes: the same bytes as by one, wherever files are cut, and no process left behind."""

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.reading import lines as line_files
from gotd_assets.corpus.reading import tables as table_files
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.errors import InputError
from gotd_assets.execution.engine import mapped
from gotd_assets.execution.processes import LocalEngine
from gotd_assets.settings.texts import PreparationSettings, SourceSettings

JOINED = PreparationSettings(chunk_by="characters", chunk_size=60, join_short=True)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefgé\n", k=5)) for _ in range(200)]
    texts = [" ".join(generator.choices(words, k=generator.randint(1, 20))) for _ in range(1500)]
    texts[700:] = texts[:800]
    rows = [json.dumps({"text": text, "n": n % 7}) for n, text in enumerate(texts)]
    for place, bad in ((3, "{broken"), (400, '{"text": 5}'), (900, ""), (1100, json.dumps({"text": "x" * 9000}))):
        rows.insert(place, bad)
    return rows


def write(folder: Path, form: str, lines: list[str]) -> str:
    records = [{"text": "", **json.loads(line)} for line in lines if line.startswith('{"text": "')]
    half = len(lines) // 2
    match form:
        case "jsonl":
            (folder / "1.jsonl").write_text("\n".join(lines[:half]) + "\n")
            (folder / "2.jsonl").write_text("\n".join(lines[half:]))
        case "jsonl.gz":
            (folder / "1.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode())[:-100])
        case "csv":
            pl.DataFrame(records).write_csv(folder / "1.csv")
        case "parquet":
            pl.DataFrame(records[:300]).write_parquet(folder / "1.parquet", row_group_size=100)
            pl.DataFrame(records[300:]).write_parquet(folder / "2.parquet", row_group_size=100)
        case "txt":
            for number, record in enumerate(records[:100]):
                (folder / f"{number:03}.txt").write_text(record["text"] or "empty")
    return f"*.{form}"


def fingerprints(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("form", "preparation"),
    [
        ("jsonl", PreparationSettings()),
        ("jsonl", JOINED),
        ("jsonl.gz", PreparationSettings()),
        ("csv", PreparationSettings()),
        ("parquet", PreparationSettings()),
        ("txt", JOINED),
    ],
    ids=lambda value: "joined" if value is JOINED else None if isinstance(value, str) else "whole",
)
def test_any_number_of_processes_writes_the_same_bytes(
    tmp_path: Path, lines: list[str], form: str, preparation: PreparationSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {} if form == "txt" else {"filter": "n < '6'" if form == "csv" else "n < 6", "fields": {"keep": ["n"]}}
    entry = SourceSettings.model_validate(
        {"name": "s", "path": write(tmp_path, form, lines), "max_record_bytes": 8000, **fields}
    )
    whole = tmp_path / "whole"
    summary = read_documents(entry, preparation, tmp_path, whole, workers=1).as_summary()
    for module in (line_files, table_files):
        monkeypatch.setattr(module, "PORTION_BYTES", 5000)
    outs = {workers: tmp_path / f"out-{workers}" for workers in (1, 2)}
    summaries = [read_documents(entry, preparation, tmp_path, out, workers=n).as_summary() for n, out in outs.items()]
    assert summaries == [summary, summary]
    assert fingerprints(outs[1]) == fingerprints(outs[2])
    assert scan_documents(outs[2]).collect().equals(scan_documents(whole).collect())
    assert (outs[2] / "quarantine.jsonl").read_text() == (whole / "quarantine.jsonl").read_text()


def test_a_filter_that_is_no_condition_is_refused_before_any_process_starts(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "words"}\n')
    entry = SourceSettings(name="s", path=Path("a.jsonl"), filter="text =")
    with pytest.raises(InputError, match="is not a SQL condition"):
        read_documents(entry, PreparationSettings(), tmp_path, tmp_path / "out", workers=2)


def kill_oneself(signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)


def test_a_killed_process_is_an_error_not_a_wait() -> None:
    with pytest.raises(InputError, match=r"ended unasked \(exit code -9\)"):
        list(mapped(LocalEngine(2), kill_oneself, [signal.SIGKILL] * 3, name="killing"))


def test_results_come_in_order_and_an_exception_at_its_turn() -> None:
    results = mapped(LocalEngine(2), json.loads, ["1", "2", "{", "4"], name="parsing")
    assert [next(results), next(results)] == [("1", 1), ("2", 2)]
    with pytest.raises(json.JSONDecodeError):
        next(results)


def test_a_killed_caller_leaves_no_process_behind() -> None:
    program = (
        "import time, sys\n"
        "from gotd_assets.execution.engine import mapped\n"
        "from gotd_assets.execution.processes import LocalEngine\n"
        "for _ in mapped(LocalEngine(2), time.sleep, [0.01] * 100_000, name='sleep'): print('x', flush=True)"
    )
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert caller.stdout is not None
    caller.stdout.readline()
    children = psutil.Process(caller.pid).children()
    assert len(children) == 2
    caller.kill()
    caller.communicate()
    deadline = time.monotonic() + 30
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, "a process outlived its caller"
        time.sleep(0.05)
