import dataclasses
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotd_assets.errors import TrainingError
from gotd_assets.settings.project import Project, Settings
from gotd_assets.tracking.abandoned import end_run
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.nested import NestedRun, log_nested
from gotd_assets.tracking.run import tracked_run
from gotd_assets.tracking.server import prepare_tracking, tracking_client
from gotd_assets_tests.models import tiny

# Forked by a process that has loaded the libraries, they really start together, and sooner.
_SET_UP = """
import json, multiprocessing, os, signal, sys
import mlflow.store.tracking.sqlalchemy_store
import sqlalchemy.event
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.server import prepare_tracking

def set_up(number, context, statements, answers):
    def count(*_):
        nonlocal statements
        statements -= 1
        if statements == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if statements:
        sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", count)
    answers[number] = int(prepare_tracking(TrackingContext(**context)))

forked = multiprocessing.get_context("fork")
jobs = json.loads(sys.argv[1])
answers = forked.Array("i", [-1] * len(jobs))
processes = [forked.Process(target=set_up, args=(n, *job, answers)) for n, job in enumerate(jobs)]
for process in processes:
    process.start()
for process in processes:
    process.join()
print(json.dumps([[process.exitcode, answer] for process, answer in zip(processes, answers)]))
"""
_TOGETHER = 3
_KILLED_AFTER = (40, 120, 250)


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    """Exit code and answer of processes that set up MLflow: some in the folder `new`, others in `killed-N` until killed."""
    folder = tmp_path_factory.mktemp("set-up")
    places = [("new", 0)] * _TOGETHER + [(f"killed-{statements}", statements) for statements in _KILLED_AFTER]
    jobs = [[dataclasses.asdict(tiny.tracking(folder / name)), statements] for name, statements in places]
    done = subprocess.run([sys.executable, "-c", _SET_UP, json.dumps(jobs)], capture_output=True, text=True, check=True)
    return folder, [(code, answer) for code, answer in json.loads(done.stdout)]


def test_processes_that_start_together_share_one_experiment(set_up) -> None:
    ended = set_up[1][:_TOGETHER]
    assert [code for code, _ in ended] == [0, 0, 0]
    assert len({answer for _, answer in ended}) == 1
    assert ended[0][1] >= 0


@pytest.mark.parametrize("statements", _KILLED_AFTER)
def test_a_setting_up_that_was_killed_is_done_anew(set_up, statements: int) -> None:
    folder, ended = set_up
    assert ended[_TOGETHER + _KILLED_AFTER.index(statements)] == (-signal.SIGKILL, -1)
    place = folder / f"killed-{statements}"
    assert prepare_tracking(tiny.tracking(place))
    assert {path.name for path in place.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_a_sqlite_uri_may_have_options(tmp_path) -> None:
    context = dataclasses.replace(tiny.tracking(tmp_path), uri=f"sqlite:///{tmp_path}/mine.db?timeout=30")
    assert prepare_tracking(context)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.db", "mine.db.lock"}


def test_default_is_a_sqlite_file_in_the_home_folder(tmp_path):
    settings = Settings(
        sources=[{"name": "a", "path": "a"}],
        targets=[{"name": "t", "path": "t"}],
        encoder={"model": "m"},
        training={"model": "m"},
    )
    project = Project(root=tmp_path, settings=settings)
    context = TrackingContext.of(project, run_name="r", selection_version="v", tags={"a": "b"})
    assert context.uri == f"sqlite:///{tmp_path}/.gotd/mlflow/mlflow.db"
    assert context.artifact_location == (tmp_path / ".gotd/mlflow/artifacts").as_uri()


def test_files_of_runs_are_found_after_the_projects_folder_was_moved(tmp_path: Path) -> None:
    def context(folder: Path) -> TrackingContext:
        place = (folder / "artifacts").as_uri()
        return dataclasses.replace(tiny.tracking(folder), uri=f"sqlite:///{folder}/mlflow.db", artifact_location=place)

    (tmp_path / "100%_here").mkdir()
    here, there = tmp_path / "100%_here", tmp_path / "there"
    experiment = prepare_tracking(context(here))
    client = tracking_client(context(here).uri)
    earlier = client.create_run(experiment).info.run_id
    client.log_dict(earlier, {"kept": True}, "training.json")
    here.rename(there)
    assert prepare_tracking(context(there)) == experiment
    client = tracking_client(context(there).uri)
    assert [file.path for file in client.list_artifacts(earlier)] == ["training.json"]
    client.log_dict(client.create_run(experiment).info.run_id, {}, "training.json")
    assert not here.exists()
    assert len(list(there.glob("artifacts/*/artifacts/training.json"))) == 2


class FailingServer(http.server.BaseHTTPRequestHandler):
    """A tracking server that knows the experiment, and whose database is gone for everything else."""

    def do_GET(self) -> None:
        found = self.path.partition("?")[0].endswith("get-by-name")
        experiment = {"experiment_id": "1", "name": "e", "lifecycle_stage": "active", "artifact_location": "file:///e"}
        answer = json.dumps(
            {"experiment": experiment} if found else {"error_code": "INTERNAL_ERROR", "message": "gone"}
        )
        self.send_response(200 if found else 500)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer.encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def failing_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FailingServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_fails_half_way_is_told_with_what_to_do(tmp_path, failing_server) -> None:
    context = TrackingContext(uri=failing_server, experiment="e", run_name="r", selection_version="v")
    scratch = tmp_path / ("a" * 32)
    scratch.mkdir()
    told = f"tracking.uri '{failing_server}' cannot be used.*Start the tracking server"
    with pytest.raises(TrainingError, match=told), tracked_run(context, scratch, {"rate": 1}):
        pass


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("sqlite:///{folder}/garbage.db", "cannot be used: file is not a database. Start the tracking server"),
        ("postgresql+no_such_driver://nobody@127.0.0.1:9/mlflow", "cannot be used|needs the module"),
        ("ftp://example/mlflow", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_with_what_to_do(tmp_path, uri: str, sentence: str) -> None:
    (tmp_path / "garbage.db").write_bytes(b"hello" * 1000)
    context = TrackingContext(uri=uri.format(folder=tmp_path), experiment="e", run_name="r", selection_version="v")
    with pytest.raises(TrainingError, match=sentence):
        prepare_tracking(context)


def test_a_run_killed_before_its_id_was_kept_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = tiny.tracking(tmp_path)
    scratch = tmp_path / ("a" * 32)
    scratch.mkdir()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gotd_assets.tracking.run.write_atomically", killed)
        with pytest.raises(KeyboardInterrupt), tracked_run(context, scratch, {"rate": 1}):
            pass
    with tracked_run(context, scratch, {"rate": 1}) as run:
        pass
    client = tracking_client(context.uri)
    (only,) = client.search_runs([run.experiment_id])
    assert (only.info.run_id, only.info.status, only.data.params["rate"]) == (run.run_id, "FINISHED", "1")
    other = tmp_path / ("b" * 32)
    other.mkdir()
    with tracked_run(context, other, {"rate": 2}) as second:
        pass
    assert second.run_id != run.run_id


def test_who_is_stopped_while_figures_are_sent_leaves_the_database_free_and_loses_none(tmp_path: Path) -> None:
    context = tiny.tracking(tmp_path)
    client = tracking_client(context.uri)
    before = signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for number, seconds in enumerate((0.02, 0.1, 0.3)):
            scratch = tmp_path / (str(number) * 32)
            scratch.mkdir()
            with pytest.raises(KeyboardInterrupt), tracked_run(context, scratch, {}) as run:
                for step in range(5000):
                    run.log(step, {"loss": 1.0 / (1 + step)})
                started = time.monotonic()
                signal.setitimer(signal.ITIMER_REAL, seconds)
                run.flush()
                time.sleep(60)
            assert time.monotonic() - started < 30  # whoever meets a lock waits for it longer
            assert client.get_run(run.run_id).info.status == "KILLED"
            assert len(client.get_metric_history(run.run_id, "loss")) == 5000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_a_kill_left_running_is_ended_with_all_below_it(tmp_path: Path) -> None:
    context = tiny.tracking(tmp_path)
    scratch = tmp_path / ("a" * 32)
    scratch.mkdir()
    with tracked_run(context, scratch, {}) as parent:
        pass
    client = tracking_client(context.uri)

    def begun(name: str, above: str) -> str:
        tags = {"mlflow.parentRunId": above}
        return str(client.create_run(parent.experiment_id, tags=tags, run_name=name).info.run_id)

    killed = begun("labels of film", parent.run_id)
    below, other = begun("300 labels", killed), begun("toxicity of film", parent.run_id)
    kept = log_nested(context, parent.run_id, NestedRun("labels of film", {}, {"accuracy": 0.5}))

    def statuses(*runs: str) -> list[str]:
        return [client.get_run(run).info.status for run in runs]

    assert statuses(killed, below, other, kept) == ["KILLED", "KILLED", "RUNNING", "FINISHED"]
    end_run(context.uri, parent.run_id)
    assert statuses(parent.run_id, other, kept) == ["FINISHED", "KILLED", "FINISHED"]
    end_run(context.uri, "0" * 32)
    end_run(f"sqlite:///{tmp_path}/none.db", parent.run_id)
    assert not (tmp_path / "none.db").exists()


def test_everything_of_a_run_stays_in_a_folder_of_any_letters(tmp_path: Path) -> None:
    folder = tmp_path / "müller's 100% [old] #1"
    (folder / "scratch").mkdir(parents=True)
    with tracked_run(tiny.tracking(folder), folder / "scratch", {"a": 1}) as run:
        run.log_report({"a": 1})
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert len(list(folder.rglob("training.json"))) == 1
