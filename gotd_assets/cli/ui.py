"""`gotd ui`: the Dagster web server, its daemon and the MLflow UI, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from gotd_assets.cli.project_files import complete
from gotd_assets.errors import GotdError
from gotd_assets.settings.project import Project
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.server import prepare_tracking

_HOST = "127.0.0.1"
# The first start compiles what three servers import; on a loaded machine that takes minutes. A server that fails ends,
# and is told of at once: this is for one that hangs.
_START_SECONDS = 900
_TELLS_EVERY = 15
# Without it the MLflow UI starts seven workers for jobs that this project has none of.
_QUIET_MLFLOW = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve(project: Project, console: Console, *, dagster_port: int = 3000, mlflow_port: int = 5000) -> None:
    """Run all three until one ends or Ctrl-C.

    Raises:
        GotdError: a port is taken, or a server does not start.
    """
    for name, port, option in (("Dagster", dagster_port, "--port"), ("MLflow", mlflow_port, "--mlflow-port")):
        if _answers(port):
            raise GotdError(
                f"port {port} for {name} is taken: stop what listens there ({_HOST}:{port}), or give another one: "
                f"gotd ui {option} {port + 10}"
            )
    complete(project.root)
    # Set before MLflow is loaded, which tells what it does to a new database.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    tracking = TrackingContext.of(project, run_name="", selection_version="", tags={})
    experiment = prepare_tracking(tracking)
    environment = {"DAGSTER_HOME": str(project.root), **os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"} | _QUIET_MLFLOW
    environment |= _links(project, dagster_port, mlflow_port)
    from gotd_assets.pipeline.instance import dagster_instance

    with dagster_instance(project):
        # Makes Dagster's databases, which the servers would make all at once.
        pass
    dagster = ["--workspace", str(project.root / "workspace.yaml")]
    commands = {
        "dagster-webserver": [
            *(sys.executable, "-m", "gotd_assets.cli.webserver", "--host", _HOST, "--port", str(dagster_port)),
            *dagster,
        ],
        "dagster-daemon": [_program("dagster-daemon"), "run", *dagster],
        "mlflow": [
            *(_program("mlflow"), "ui", "--host", _HOST, "--port", str(mlflow_port)),
            *("--backend-store-uri", tracking.uri, "--workers", "1"),
        ],
    }
    logs = project.home.logs
    logs.mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        for name, command in commands.items():
            with (logs / f"{name}.log").open("wb") as log:
                running[name] = subprocess.Popen(
                    command, cwd=project.root, env=environment, stdout=log, stderr=subprocess.STDOUT
                )
        _wait_for(running, {"dagster-webserver": dagster_port, "mlflow": mlflow_port}, logs, console)
        console.print(f"Dagster  http://{_HOST}:{dagster_port}")
        # By itself MLflow opens in its dress for chats and agents.
        console.print(f"MLflow   http://{_HOST}:{mlflow_port}/#/experiments/{experiment}?workflowType=machine_learning")
        console.print(f"logs     {logs}\nCtrl-C stops all three.")
        while True:
            _check(running, logs)
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()


def _links(project: Project, dagster_port: int, mlflow_port: int) -> dict[str, str]:
    """Environment in which runs link to these servers, unless the settings name others."""
    settings = project.settings
    links = {
        "GOTD_TRACKING__UI_URL": (settings.tracking, mlflow_port),
        "GOTD_NOTIFY__UI_URL": (settings.notify, dagster_port),
    }
    return {
        name: f"http://{_HOST}:{port}"
        for name, (section, port) in links.items()
        if "ui_url" not in section.model_fields_set
    }


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _wait_for(running: dict[str, subprocess.Popen[bytes]], ports: dict[str, int], logs: Path, console: Console) -> None:
    """Wait until there is an answer on every port; tell now and then which of them is waited for.

    Raises:
        GotdError: a server ended, or does not answer for a quarter of an hour.
    """
    console.print("starting Dagster and MLflow; the first time may take a minute or two")
    started = told = time.monotonic()
    silent = dict(ports)
    while silent:
        time.sleep(0.3)
        _check(running, logs)
        silent = {name: port for name, port in silent.items() if not _answers(port)}
        now = time.monotonic()
        if silent and now - started > _START_SECONDS:
            raise GotdError(f"after {now - started:.0f} s there is no answer from {_told(silent)}; see {logs}")
        if silent and now - told >= _TELLS_EVERY:
            console.print(f"{now - started:.0f} s: waiting for {_told(silent)}", soft_wrap=True)
            told = now


def _told(ports: dict[str, int]) -> str:
    return " and ".join(f"{name} on port {port}" for name, port in ports.items())


def _check(running: dict[str, subprocess.Popen[bytes]], logs: Path) -> None:
    for name, process in running.items():
        if process.poll() is not None:
            log = logs / f"{name}.log"
            said = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            raise GotdError(f"{name} ended with exit code {process.returncode}{f': {said}' if said else ''}; see {log}")


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(0.5)
        return connection.connect_ex((_HOST, port)) == 0


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise GotdError(f"{name} is not installed beside {sys.executable}: install gotd-assets with its dependencies")
    return found
