import dataclasses
import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from gotd_assets.cli_study import write_study_page
from gotd_assets.errors import TrainingError
from gotd_assets.settings import Project, Settings
from gotd_assets.training import TrackingContext, prepare_tracking
from gotd_assets_tests.training import tiny

_PREPARE = """
import sys
from pathlib import Path
from gotd_assets.training import prepare_tracking
from gotd_assets_tests.training import tiny
print(prepare_tracking(tiny.tracking(Path(sys.argv[1]))))
"""


def test_processes_that_start_together_share_one_experiment(tmp_path):
    command = [sys.executable, "-c", _PREPARE, str(tmp_path / "new")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1
    assert answers != {""}


_KILL_AFTER_STATEMENTS = """
import os, signal, sys
from pathlib import Path
import sqlalchemy.event
from gotd_assets.training import prepare_tracking
from gotd_assets_tests.training import tiny

left = int(sys.argv[2])

def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", count)
prepare_tracking(tiny.tracking(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("statements", [40, 120, 250])
def test_a_setting_up_that_was_killed_is_done_anew(tmp_path, statements: int) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILL_AFTER_STATEMENTS, str(tmp_path), str(statements)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert prepare_tracking(tiny.tracking(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


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
    settings = Settings(
        sources=[{"name": "a", "path": "a"}],
        targets=[{"name": "t", "path": "t"}],
        encoder={"model": "m"},
        training={"model": "m"},
        tracking={"uri": failing_server},
    )
    with pytest.raises(
        TrainingError, match=f"tracking.uri '{failing_server}' cannot be used.*Start the tracking server"
    ):
        write_study_page(Project(root=tmp_path, settings=settings), tmp_path / "page.md", Console())


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
