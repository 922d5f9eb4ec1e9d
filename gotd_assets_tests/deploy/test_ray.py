"""deploy/ray as far as one machine can run it: the script's commands, and a project on the cluster that they start."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from gotd_assets_tests.end_to_end.project import REPOSITORY, gotd, make_project

FOLDER = REPOSITORY / "deploy" / "ray"


def test_every_pod_mounts_the_project_and_has_the_same_image() -> None:
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text(encoding="utf-8"))
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    assert {mount["mountPath"] for each in containers for mount in each["volumeMounts"]} == {"/project"}
    assert all(pod["volumes"] == pods[0]["volumes"] for pod in pods)
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    pinned = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert f"ray=={cluster['rayVersion']}\n" in pinned


def test_the_script_says_how_it_is_used() -> None:
    told = subprocess.run([FOLDER / "up.sh"], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "worker HEAD:6379" in told.stdout


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a head and two workers that the script started."""
    pytest.importorskip("ray")
    # Sockets have short names.
    temporary = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    small = "--object-store-memory=83886080"
    head = [
        "head",
        f"--port={port}",
        "--node-ip-address=127.0.0.1",
        f"--temp-dir={temporary}",
        "--include-dashboard=false",
    ]
    worker = ["worker", address, "--node-ip-address=127.0.0.1", "--num-cpus=1"]
    try:
        for arguments in (head, worker, worker):
            subprocess.run([FOLDER / "up.sh", *arguments, small], env={**os.environ, "PATH": path}, check=True)
        yield address
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if any(str(temporary) in word for word in process.info["cmdline"] or []):
                process.send_signal(signal.SIGKILL)
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.slow
def test_a_project_runs_on_the_cluster_that_the_script_starts(tmp_path: Path, cluster: str) -> None:
    subsets = []
    for name, compute in (("ray", {"engine": "ray", "address": cluster}), ("local", {})):
        make_project(tmp_path / name, compute=compute, training=None)
        done = gotd(tmp_path / name, "run")
        assert done.returncode == 0, done.stdout + done.stderr
        (subset,) = (tmp_path / name / ".gotd" / "artifacts" / "selected_subset").rglob("gotd/*/subset.parquet")
        subsets.append(subset.read_bytes())
    assert subsets[0] == subsets[1]
