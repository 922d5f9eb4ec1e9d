"""Many processes share one lineage database: nothing is lost, nothing is seen by halves, nobody waits for ever."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import polars as pl
import pytest

from gotd_assets.errors import LineageError
from gotd_assets.fingerprint import document_id, fingerprint
from gotd_assets.lineage import LineageStore, Materialisation, recording

# Its processes are forked from one that has loaded this module, and done nothing with it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])
MEMBERS = 500


def made_by(writer: int, number: int, members: int = MEMBERS) -> Materialisation:
    ids = [document_id(f"{number} {row}") for row in range(members)]
    frame = pl.DataFrame({"doc_id": ids, "rank": range(1, members + 1)}).with_columns(
        source=pl.lit("s"), origin=pl.lit("f"), score=pl.lit(0.5)
    )
    return Materialisation(
        asset="selected_subset",
        partition=f"target-{writer}/gotd",
        version=fingerprint([writer, number]),
        code_version="1",
        members=frame,
        run_id=f"run-{writer}",
        step=str(number),
    )


def write_many(path: Path, writer: int, count: int, start: "multiprocessing.synchronize.Barrier") -> None:
    start.wait()
    store = LineageStore(path)
    for number in range(count):
        store.record(made_by(writer, number))


def write_until_killed(path: Path, reports: Connection) -> None:
    store = LineageStore(path)
    number = 0
    while True:
        store.record(made_by(os.getpid(), number))
        reports.send(number)
        number += 1


def stop_before_the_commit(path: Path, reports: Connection) -> None:
    store = LineageStore(path)
    made = made_by(99, 0, members=200_000)
    rows = recording.prepare(made)
    with store.database.writing() as connection:
        recording.write(connection, made, rows)
        reports.send("written")
        time.sleep(600)


def hold_as_a_shell_does(path: Path, reports: Connection, seconds: float) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("SELECT 1")
        reports.send("held")
        time.sleep(seconds)


def ask_until_told(path: Path, reports: Connection, stop: "multiprocessing.synchronize.Event") -> None:
    store = LineageStore(path)
    answers = 0
    broken = []
    while not stop.is_set():
        for version in store.audit("selection_history")["selection_version"]:
            seen = store.audit("selection_members", selection=version).height
            if seen != MEMBERS:
                broken.append((version, seen))
        answers += 1
    reports.send((answers, broken))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lineage.duckdb"


def recorded(path: Path) -> dict[str, int]:
    """Members by version, as an outsider with nothing but DuckDB counts them."""
    with duckdb.connect(path, read_only=True) as connection:
        rows = connection.execute(
            "SELECT a.version, count(m.document_key) FROM artifacts AS a "
            "LEFT JOIN members AS m ON m.artifact_key = a.artifact_key GROUP BY ALL"
        ).fetchall()
        events = connection.execute("SELECT count(*), count(DISTINCT event_key) FROM events").fetchall()
        documents = connection.execute(
            "SELECT count(*), count(DISTINCT doc_id), count(DISTINCT document_key) FROM documents"
        ).fetchall()
    assert events == [(len(rows), len(rows))]
    assert len(set(documents[0])) == 1
    return dict(rows)


def test_many_writers_and_an_auditor_from_the_first_moment_on(path: Path) -> None:
    writers, each = 5, 4
    barrier = PROCESSES.Barrier(writers)
    stop = PROCESSES.Event()
    answers, reports = PROCESSES.Pipe(duplex=False)
    processes = [PROCESSES.Process(target=write_many, args=(path, writer, each, barrier)) for writer in range(writers)]
    auditor = PROCESSES.Process(target=ask_until_told, args=(path, reports, stop))
    for process in (*processes, auditor):
        process.start()
    for process in processes:
        process.join()
    stop.set()
    asked, broken = answers.recv()
    auditor.join()
    assert [process.exitcode for process in (*processes, auditor)] == [0] * (writers + 1)
    assert recorded(path) == {
        fingerprint([writer, number]): MEMBERS for writer in range(writers) for number in range(each)
    }
    assert asked > 0
    assert broken == []


def test_many_threads_of_one_process(path: Path) -> None:
    store = LineageStore(path)
    failures: list[BaseException] = []

    def work(writer: int) -> None:
        try:
            for number in range(3):
                (store if writer % 2 else LineageStore(path)).record(made_by(writer, number))
                assert store.audit("selection_members", selection=fingerprint([writer, number])).height == MEMBERS
        except BaseException as error:  # noqa: BLE001 (a thread's failure must reach the test)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(recorded(path)) == 18


def test_a_writer_killed_before_its_commit_leaves_nothing_and_no_lock(path: Path) -> None:
    store = LineageStore(path)
    store.record(made_by(0, 0))
    before = recorded(path)
    reports, sender = PROCESSES.Pipe(duplex=False)
    writer = PROCESSES.Process(target=stop_before_the_commit, args=(path, sender))
    writer.start()
    assert reports.recv() == "written"
    with pytest.raises(LineageError, match="kept busy by another process of this project for more than 0 seconds"):
        LineageStore(path, timeout_seconds=0.2)
    writer.kill()
    writer.join()
    assert recorded(path) == before
    assert store.record(made_by(0, 1))
    assert recorded(path) == {**before, fingerprint([0, 1]): MEMBERS}


def test_what_a_killed_writer_had_been_told_is_recorded_is_there(path: Path) -> None:
    generator = random.Random(0)
    acknowledged = set()
    for _ in range(4):
        reports, sender = PROCESSES.Pipe(duplex=False)
        writer = PROCESSES.Process(target=write_until_killed, args=(path, sender))
        writer.start()
        reports.recv()
        acknowledged.add(fingerprint([writer.pid, 0]))
        time.sleep(generator.uniform(0, 0.4))
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        sender.close()
        for number in _received(reports):
            acknowledged.add(fingerprint([writer.pid, number]))
        found = recorded(path)
        assert acknowledged <= found.keys()
        assert set(found.values()) == {MEMBERS}
    assert LineageStore(path).record(made_by(0, 0))


def test_a_database_held_by_a_shell_is_waited_for(path: Path) -> None:
    store = LineageStore(path)
    reports, sender = PROCESSES.Pipe(duplex=False)
    holder = PROCESSES.Process(target=hold_as_a_shell_does, args=(path, sender, 3))
    holder.start()
    assert reports.recv() == "held"
    with pytest.raises(LineageError, match=r"kept busy by another program .* close what holds it"):
        LineageStore(path, timeout_seconds=0.5)
    assert store.record(made_by(0, 0))
    holder.join()
    assert recorded(path) == {fingerprint([0, 0]): MEMBERS}


@pytest.mark.slow
def test_a_minute_of_somebody_elses_work_is_waited_for_by_default(path: Path) -> None:
    store = LineageStore(path)
    reports, sender = PROCESSES.Pipe(duplex=False)
    holder = PROCESSES.Process(target=hold_as_a_shell_does, args=(path, sender, 65))
    holder.start()
    assert reports.recv() == "held"
    started = time.monotonic()
    assert store.record(made_by(0, 0))
    assert time.monotonic() - started > 60
    holder.join()
    assert holder.exitcode == 0
    assert recorded(path) == {fingerprint([0, 0]): MEMBERS}


def _received(reports: Connection) -> Iterator[int]:
    while True:
        try:
            yield reports.recv()
        except EOFError:
            return
