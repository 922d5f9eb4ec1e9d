"""The webhook is told what happened, and its troubles stay its own."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from gotd_assets.errors import SettingsError
from gotd_assets.settings.file import load_project
from gotd_assets.settings.operation import NotifySettings
from gotd_assets.watch.notify import Notification, send

TOLD = Notification("failure", "run-1", "gotd run", "http://127.0.0.1:3000/runs/run-1", target="film", error="it broke")


class Hook(http.server.HTTPServer):
    """A webhook on loopback that keeps what it is told and answers `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: list[dict[str, object]] = []
        self.status = 200
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=secret"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.told.append(json.loads(self.rfile.read(length)))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    yield server
    server.shutdown()
    server.server_close()


def test_it_is_told(hook: Hook) -> None:
    assert send(NotifySettings(webhook=hook.url), TOLD) is None
    (told,) = hook.told
    assert told["event"] == "failure"
    assert told["link"] == "http://127.0.0.1:3000/runs/run-1"
    assert told["target"] == "film"
    assert told["selection_version"] is None


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refusal_is_a_sentence_without_the_secret(hook: Hook, status: int) -> None:
    hook.status = status
    said = send(NotifySettings(webhook=hook.url), TOLD)
    assert said is not None
    assert str(status) in said
    assert "secret" not in said


def test_nobody_there_is_a_sentence(hook: Hook) -> None:
    hook.shutdown()
    hook.server_close()
    said = send(NotifySettings(webhook=hook.url, timeout_seconds=1), TOLD)
    assert said is not None
    assert "cannot be reached" in said
    assert "secret" not in said


def test_without_a_webhook_nothing_happens() -> None:
    assert send(NotifySettings(), TOLD) is None


def test_the_address_comes_from_the_environment_and_is_not_shown(tmp_path, monkeypatch) -> None:
    (tmp_path / "gotd.yaml").write_text(
        "{sources: [{name: a, path: a}], targets: [{name: b, path: b}], encoder: {model: e}, training: {model: m}}"
    )
    monkeypatch.setenv("GOTD_NOTIFY__WEBHOOK", "https://example.org/secret")
    settings = load_project(tmp_path / "gotd.yaml").settings
    assert settings.notify.webhook.get_secret_value() == "https://example.org/secret"
    assert "secret" not in repr(settings.notify)
    monkeypatch.setenv("GOTD_NOTIFY__WEBHOOK", "file:///etc/passwd")
    with pytest.raises(SettingsError, match="http:// or https://"):
        load_project(tmp_path / "gotd.yaml")
