"""`gotd gc --delete` may run at any time: what a step uses stays, and what killed attempts left goes."""

import datetime as dt
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.atomic import sweep
from gotd_assets.artifacts.leases import in_use, leased
from gotd_assets.artifacts.making import make
from gotd_assets.artifacts.retention import unreferenced
from gotd_assets.artifacts.scratch import abandoned
from gotd_assets.artifacts.store import ArtifactStore

AT_ONCE = dt.timedelta(0)
RAW, SCORES = ArtifactKey("raw_candidates", "news"), ArtifactKey("candidate_scores", "film")


def make_one(store: ArtifactStore, key: ArtifactKey, content: str, *inputs: Artifact) -> Artifact:
    """As a step makes it: reads what is current, works a while, publishes."""
    with leased(store.root) as lease:
        return make(
            store,
            key,
            code_version="1",
            inputs={str(made.key): made.version for made in inputs},
            parameters={"content": content},
            write=lambda writer: (writer.path / "data.txt").write_text(content) and None,
            lease=lease,
        ).artifact


def collect(store: ArtifactStore) -> int:
    with in_use(store.root) as used:
        found = unreferenced(store, older_than=AT_ONCE, used=used)
        for artifact in found:
            store.remove(artifact)
    return len(found)


def test_what_a_step_reads_stays_until_it_ends_though_something_newer_is_current(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    source = make_one(store, ArtifactKey("tuned_encoder"), "e")
    first = make_one(store, RAW, "1", source)
    with leased(store.root) as lease:
        with lease.opening():
            read = store.current(RAW)
            lease.hold(RAW, read.version)
        make_one(store, RAW, "2", source)
        assert collect(store) == 0
        assert read.file("data.txt").read_text() == "1"
    assert collect(store) == 1
    assert store.find(RAW, first.version) is None
    assert not list((tmp_path / "leases").glob("*.lease"))


def test_a_step_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    made = make_one(store, RAW, "1")
    make_one(store, RAW, "2")
    script = (
        "import sys, time; from pathlib import Path; from gotd_assets.artifacts.leases import leased; "
        "from gotd_assets.artifacts.artifact import ArtifactKey\n"
        "with leased(Path(sys.argv[1])) as lease:\n"
        "    lease.hold(ArtifactKey('raw_candidates', 'news'), sys.argv[2]); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(store.root), made.version]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert collect(store) == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert collect(store) == 1


def steps(root: Path, seconds: float, number: int) -> int:
    """What a run does: read what is current, make something of it, read that."""
    store, done = ArtifactStore(root), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        make_one(store, RAW, f"{number} {done}")
        with leased(root) as lease:
            with lease.opening():
                raw = store.current(RAW)
                lease.hold(RAW, raw.version)
            time.sleep(0.003)
            assert raw.file("data.txt").read_text()
            made = make_one(store, ArtifactKey("candidate_scores", f"film{number}"), str(done), raw)
        read = store.current(made.key)
        assert store.input_of(read, RAW).file("data.txt").read_text()
        done += 1
    return done


def collecting(root: Path, seconds: float) -> int:
    store, removed = ArtifactStore(root), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        removed += collect(store)
    return removed


def test_runs_and_collectors_at_once_never_miss_anything(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    make_one(ArtifactStore(root), RAW, "first")
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("forkserver")) as pool:
        working = [pool.submit(steps, root, 3.0, number) for number in range(2)]
        removing = [pool.submit(collecting, root, 3.0) for _ in range(2)]
        assert min(future.result() for future in working) >= 3
        assert sum(future.result() for future in removing) >= 3


def test_the_current_and_what_runs_in_progress_read_stay(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    first, second, third = (make_one(store, RAW, content) for content in "123")
    for artifact, run in ((first, "ended"), (second, "going"), (third, "last")):
        store.publish(artifact, run)
    assert [artifact.version for artifact in unreferenced(store, older_than=AT_ONCE, runs=["going"])] == [first.version]
    assert store.forget_runs(["going"], time.time() + 1) == 2
    assert store.current(RAW, "going").version == second.version
    assert store.current(RAW, "ended").version == third.version


def test_attempts_are_abandoned_when_nobody_works_on_them_and_they_are_old(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch" / "pre_fine_tuned_model" / "film" / "gotd"
    versions = [letter * 32 for letter in "abc"]
    for version in versions:
        (scratch / version / "points").mkdir(parents=True)
        (scratch / version / "points" / "checkpoint").write_text("…")
    (scratch / versions[0] / "mlflow_run_id").write_text("run-a\n")
    day = dt.timedelta(days=1)
    for path in (scratch / versions[0]).rglob("*"):
        os.utime(path, (0, 0))
    os.utime(scratch / versions[0], (0, 0))
    used = {("pre_fine_tuned_model[film/gotd]", versions[1])}
    (old,) = abandoned(tmp_path / "scratch", older_than=day, used=used)
    assert (old.path.name, old.tracking_run) == (versions[0], "run-a")
    both = abandoned(tmp_path / "scratch", older_than=AT_ONCE, used=used)
    assert sorted(attempt.path.name for attempt in both) == [versions[0], versions[2]]
    for attempt in both:
        attempt.remove()
    assert [path.name for path in scratch.iterdir()] == [versions[1]]


@pytest.mark.parametrize("name", ["x", "x" * 32])
def test_a_sweep_leaves_what_others_write(tmp_path: Path, name: str) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    with store.write(RAW, name, code_version="1", inputs={}, parameters={}) as writer:
        (writer.path / "a").write_text("a")
        assert sweep(tmp_path / "tmp") == 0
    assert store.find(RAW, name) is not None
