"""A model on the hub, served by a tiny one on this machine, is read as its folder says."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants as hub
import numpy as np
import pytest

from gotd_assets.embedding.embed import load_encoder
from gotd_assets.models.encoder import encoder_version
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets_tests.embedding.test_sentence_folders import ours
from gotd_assets_tests.models.sentence_folders import bert, two_layers

REVISION = "a" * 40
TEXTS = ["w1 w2 w3", "w4"]


class Hub(BaseHTTPRequestHandler):
    """Serves the files of `folder`."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        path = self.path.partition("?")[0]
        files = sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*") if file.is_file())
        if path.startswith("/api/models/org/name/tree/"):
            tree = [
                {"type": "file", "path": name, "size": (self.folder / name).stat().st_size, "oid": "0" * 40}
                for name in files
            ]
            return self._send(200, json.dumps(tree).encode(), with_content)
        if path.startswith("/api/models/org/name"):
            listed = {"id": "org/name", "sha": REVISION, "siblings": [{"rfilename": name} for name in files]}
            return self._send(200, json.dumps(listed).encode(), with_content)
        name = path.partition(f"/org/name/resolve/{REVISION}/")[2]
        if name in files:
            return self._send(200, (self.folder / name).read_bytes(), with_content)
        return self._send(404, b"", with_content)

    def _send(self, status: int, content: bytes, with_content: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files are those of org/name on the hub."""
    folder = tmp_path / "served"
    with ThreadingHTTPServer(("127.0.0.1", 0), type("OfFolder", (Hub,), {"folder": folder})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(hub, "ENDPOINT", endpoint)
        monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", endpoint, raising=False)
        yield folder
        server.shutdown()


@pytest.mark.parametrize("make", [bert, pytest.param(two_layers, marks=pytest.mark.slow)])
def test_it_gives_the_vectors_of_the_same_folder_here(served: Path, tmp_path: Path, make) -> None:
    make(served)
    settings = EncoderSettings(model="org/name", revision=REVISION, dtype="float32", normalize=False, device="cpu")
    before = encoder_version(settings, tmp_path)
    found = np.concatenate(list(load_encoder(settings, tmp_path).encode(TEXTS, lambda *_: None)))
    np.testing.assert_allclose(found, ours(served, TEXTS), atol=1e-6)
    assert encoder_version(settings, tmp_path) == before
    # What was fetched once is enough where there is no hub.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "HF_HUB_OFFLINE", True)
        assert encoder_version(settings, tmp_path) == before
        again = np.concatenate(list(load_encoder(settings, tmp_path).encode(TEXTS, lambda *_: None)))
    np.testing.assert_array_equal(again, found)
