"""`gotd ui` waits for servers that are slow, says for which, and says at once what became of one that ended."""

import io
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from gotd_assets.cli import ui
from gotd_assets.errors import GotdError
from gotd_assets_tests.end_to_end.project import environment, make_project
from gotd_assets_tests.end_to_end.run_history import keep_history_as_shipped

_LISTENS_LATE = "import socket, time; time.sleep(1.5); s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def waited(programs: dict[str, str], ports: dict[str, int], logs: Path) -> str:
    """What is said while waiting for servers that run these programs."""
    said = io.StringIO()
    running = {}
    for name, program in programs.items():
        with (logs / f"{name}.log").open("wb") as log:
            running[name] = subprocess.Popen(
                [sys.executable, "-S", "-c", program], stdout=log, stderr=subprocess.STDOUT
            )
    try:
        ui._wait_for(running, ports, logs, Console(file=said, width=200))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return said.getvalue()


def test_a_slow_server_is_waited_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "_TELLS_EVERY", 0.5)
    port = free_port()
    said = waited({"mlflow": _LISTENS_LATE.format(port=port)}, {"mlflow": port}, tmp_path)
    assert f"waiting for mlflow on port {port}" in said


def test_a_server_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(GotdError, match=r"dagster-daemon ended with exit code 1: no such workspace; see .*daemon\.log"):
        waited({"dagster-daemon": "raise SystemExit('no such workspace')"}, {"mlflow": free_port()}, tmp_path)


def test_a_server_that_hangs_is_given_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "_START_SECONDS", 0.5)
    port = free_port()
    with pytest.raises(GotdError, match=rf"there is no answer from mlflow on port {port}; see"):
        waited({"mlflow": "import time; time.sleep(60)"}, {"mlflow": port}, tmp_path)


@pytest.mark.slow
def test_a_new_history_of_runs_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    make_project(tmp_path)
    keep_history_as_shipped(tmp_path)
    program = (
        "import os, time; from pathlib import Path; from gotd_assets.pipeline.instance import dagster_instance; "
        "from gotd_assets.settings.file import load_project; project = load_project(); Path(f'ready-{os.getpid()}').touch()\n"
        "while len(list(Path.cwd().glob('ready-*'))) < 4: time.sleep(0.001)\n"
        "with dagster_instance(project) as instance: print(len(instance.get_runs()))"
    )
    opening = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert [process.communicate() for process in opening] == [("0\n", "")] * 4
