"""Where models are looked for, and how soon it is said that the hub cannot be reached."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub.constants as hub
import pytest

from gotd_assets.errors import InputError
from gotd_assets.models import location
from gotd_assets.models.location import find_model, hub_options, pinned

REVISION = "a" * 40


@pytest.fixture(autouse=True)
def _online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes connections and never says anything."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        yield


def test_paths_are_relative_to_the_project(tmp_path: Path) -> None:
    (tmp_path / "models" / "one").mkdir(parents=True)
    assert find_model("models/one", tmp_path, "encoder.model") == tmp_path / "models" / "one"
    assert find_model(str(tmp_path / "models"), Path("/elsewhere"), "encoder.model") == tmp_path / "models"


def test_a_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_carrier" / "weights").mkdir(parents=True)
    (tmp_path / "some_carrier" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = (tmp_path / "some_carrier").resolve()
    assert find_model("package:some_carrier", tmp_path, "encoder.model") == folder
    assert find_model("package:some-carrier/weights", tmp_path, "encoder.model") == folder / "weights"
    with pytest.raises(InputError, match="nothing does not exist in the installed package"):
        find_model("package:some_carrier/nothing", tmp_path, "encoder.model")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./missing", "does not exist"),
        ("models/none/here", "does not exist"),
        ("../missing", "does not exist"),
        ("gone.gguf", "does not exist"),
        ("package:no_such_package_here", "no installed package 'no_such_package_here'"),
        ("package:yaml/../..", "leaves the package"),
    ],
)
def test_what_is_nowhere_is_named_with_its_setting(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"training.model.*{message}"):
        find_model(name, tmp_path, "training.model")


@pytest.mark.parametrize("name", ["gpt2", "org/name", "org/name-1.5"])
def test_other_names_are_ids_on_the_hub_and_need_a_revision(tmp_path: Path, name: str) -> None:
    assert find_model(name, tmp_path, "encoder.model") is None
    assert pinned(name, REVISION, "encoder.model") == REVISION
    with pytest.raises(InputError, match=r"set encoder\.revision"):
        pinned(name, None, "encoder.model")


def test_a_hub_that_refuses_is_told_at_once_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(InputError, match=r"encoder\.model 'org/name'.*does not answer.*local folder.*package:NAME"):
            hub_options("org/name", REVISION, "encoder.model")
        assert time.monotonic() - started < 3


@pytest.mark.usefixtures("silent")
def test_a_silent_hub_is_given_up_after_seconds_unless_the_model_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert location.PROBE_SECONDS <= 5
    monkeypatch.setattr(location, "PROBE_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(InputError, match="does not answer"):
        hub_options("org/name", REVISION, "encoder.model")
    assert time.monotonic() - started < 3
    snapshot = tmp_path / "cache" / "models--org--name" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert hub_options("org/name", REVISION, "encoder.model") == {"revision": REVISION, "local_files_only": True}


def test_a_hub_that_answers_is_asked_for_the_files_and_an_offline_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert hub_options("org/name", REVISION, "encoder.model") == {"revision": REVISION, "local_files_only": False}
        server.shutdown()
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    assert hub_options("org/name", REVISION, "encoder.model") == {"revision": REVISION, "local_files_only": True}
