"""A run that is told to stop stops: what works ends, nothing more begins, and the next run goes on from there."""

import os
import signal
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster_graphql import DagsterGraphQLClient

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.browser import servers
from gotd_assets_tests.end_to_end.project import copied, gotd, inside, make_project, started_gotd
from gotd_assets_tests.end_to_end.run_history import keep_history_as_shipped


def two_targets(solved: Path, folder: Path) -> None:
    copied(solved, folder)
    make_project(
        folder,
        targets=[{"name": name, "path": "data/target.jsonl"} for name in ("film", "cinema")],
        selection={"budget": 8, "methods": ["gotd"]},
        training={"model": "model", "max_tokens": 32, "epochs": 5000.0, "checkpoint_steps": 1},
    )


def is_training(folder: Path) -> bool:
    return any((folder / ".gotd" / "scratch").rglob("checkpoint.safetensors"))


def assert_stopped(folder: Path, number: signal.Signals, code: int, said: str, seconds: float) -> None:
    assert code == 128 + number, said
    assert seconds < 20
    assert "stopped; the same command goes on from there" in said
    assert "Traceback" not in said
    store = ArtifactStore(folder / ".gotd" / "artifacts")
    for target in ("film", "cinema"):
        assert not store.versions(ArtifactKey("pre_fine_tuned_model", f"{target}/gotd"))
    with inside(folder), dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
        assert {run.status for run in runs} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED}
        assert sum(run.status == dg.DagsterRunStatus.CANCELED for run in runs) == 1


def test_a_signal_stops_the_run_at_once_and_for_all_targets(solved: Path, tmp_path: Path) -> None:
    two_targets(solved, tmp_path)
    told: list[float] = []
    over = threading.Event()

    def tell() -> None:
        while not over.wait(0.05):
            if is_training(tmp_path):
                told.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGTERM)
                return

    telling = threading.Thread(target=tell)
    telling.start()
    try:
        done = gotd(tmp_path, "run")
    finally:
        over.set()
        telling.join()
    (moment,) = told
    seconds = time.monotonic() - moment
    assert_stopped(tmp_path, signal.SIGTERM, done.returncode, done.stdout + done.stderr, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_of_the_run(solved: Path, tmp_path: Path, number: signal.Signals) -> None:
    two_targets(solved, tmp_path)
    keep_history_as_shipped(tmp_path)
    with started_gotd(tmp_path, "run") as process:
        while process.poll() is None and not is_training(tmp_path):
            time.sleep(0.05)
        process.send_signal(number)
        told = time.monotonic()
        said, _ = process.communicate(timeout=60)
    assert_stopped(tmp_path, number, process.returncode, said, time.monotonic() - told)


@pytest.mark.slow
def test_a_job_that_is_cancelled_begins_no_further_stage(solved: Path, tmp_path: Path) -> None:
    copied(solved, tmp_path)
    make_project(
        tmp_path,
        selection={"budget": 8, "methods": ["gotd", "random"]},
        training={"model": "model", "max_tokens": 32, "epochs": 5000.0, "checkpoint_steps": 1},
    )
    keep_history_as_shipped(tmp_path)
    with servers(tmp_path) as at:
        client = DagsterGraphQLClient("127.0.0.1", port_number=int(at.dagster.rpartition(":")[2]))
        run_id = client.submit_job_execution("materialize_everything")
        deadline = time.monotonic() + 300
        while not any((tmp_path / ".gotd" / "scratch").rglob("checkpoint.safetensors")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        told = time.monotonic()
        client.terminate_run(run_id)
        while client.get_run_status(run_id) not in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE):
            assert time.monotonic() - told < 60
            time.sleep(0.2)
    with inside(tmp_path), dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
        statuses = {run.run_id: run.status for run in runs}
        assert statuses.pop(run_id) == dg.DagsterRunStatus.CANCELED
        assert set(statuses.values()) <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED}
        assert dg.DagsterRunStatus.CANCELED in statuses.values()
        assert not instance.event_log_storage.get_concurrency_info("compute").claimed_slots
    assert not list((tmp_path / ".gotd" / "artifacts").glob("evaluation_report/**/manifest.json"))
