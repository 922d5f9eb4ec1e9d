"""Sources behind URLs: read as local files are, fetched once per version, never half, and told of in sentences."""

import gzip
import hashlib
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import polars as pl
import pytest

from gotd_assets.corpus.documents import read_documents
from gotd_assets.corpus.files import remote as remote_module
from gotd_assets.corpus.files.content import content_fingerprint
from gotd_assets.corpus.files.copies import RemoteFiles
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.corpus.targets import read_target
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256
from gotd_assets.settings.texts import PreparationSettings, SourceSettings, TargetSettings, TargetsFolderSettings
from gotd_assets_tests.corpus.test_formats import JSONL, TEXTS, WRITERS


class Server(http.server.ThreadingHTTPServer):
    """Files of a folder on loopback. `gets` are the paths fetched; `faults` says what goes wrong with the next ones."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gets: list[str] = []
        self.faults: list[object] = []
        self.killed = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def __init__(self, request, address, server: Server) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def do_GET(self) -> None:
        self.server.gets.append(self.path)
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "cut":
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif fault == "stall":
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.server.killed.wait(60)
            self.close_connection = True
        elif isinstance(fault, int):
            self.send_error(fault)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if "forbidden" in self.path:
            self.send_error(403)
        else:
            super().do_HEAD()

    def send_head(self):
        if "forbidden" in self.path:
            self.send_error(403)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        if self.path.endswith(".gz"):
            # As many web servers do: the reader must not unpack on the way.
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(folder) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    name = f"bucket-{tmp_path.name}"
    yield f"memory://{name}"
    fsspec.filesystem("memory").rm(f"/{name}", recursive=True)


class Reader:
    """Reads entries into new folders, with copies in one place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copies = folder / "home" / "cache" / "remote"
        self.lines: list[str] = []
        self.readings = 0

    def remote(self, *, fetch: bool = True) -> RemoteFiles:
        return RemoteFiles(self.copies, lambda line: self.lines.append(str(line)), fetch=fetch)

    def read(self, **entry: object):
        self.readings += 1
        out = self.folder / f"out-{self.readings}"
        source = SourceSettings.model_validate({"name": "s", **entry})
        report = read_documents(source, PreparationSettings(), self.folder, out, remote=self.remote())
        return report.as_summary(), scan_documents(out).collect()

    def checksums(self, path: object, *, fetch: bool = True) -> dict[str, str]:
        entry = SourceSettings.model_validate({"name": "s", "path": path})
        remote = self.remote(fetch=fetch)
        return content_fingerprint(entry, self.folder, cache=self.folder / "checksums.json", remote=remote)

    def files(self) -> list[Path]:
        """Everything among the copies but locks and records."""
        return [path for path in self.copies.rglob("*") if path.is_file() and path.name not in ("lock", "fetched.json")]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def put(url: str, content: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(url, content)


def texts_of(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_behind_a_url_gives_what_the_local_file_gives(
    reader: Reader, server: Server, bucket: str, name: str
) -> None:
    path = server.folder / name
    WRITERS[name](path)
    put(f"{bucket}/{name}", path.read_bytes())
    entry = {"fields": {"keep": ["lang"]}, "filter": "lang = 'en'"}
    expected_summary, expected = reader.read(path=str(path), **entry)
    for url in (server.url(name), f"{bucket}/{name}"):
        summary, documents = reader.read(path=url, **entry)
        assert summary == expected_summary
        assert documents.drop("origin").equals(expected.drop("origin"))
        rows = [origin.rpartition(":")[2] for origin in expected["origin"]]
        assert documents["origin"].to_list() == [f"{url}:{row}" for row in rows]


def test_globs_folders_and_lists_mean_the_files_behind_them(reader: Reader, bucket: str, server: Server) -> None:
    for number, name in enumerate(["b/2.jsonl.gz", "b/1.jsonl.gz", "b/deep/3.jsonl.gz", "b/.hidden/4.jsonl.gz"]):
        put(f"{bucket}/{name}", gzip.compress(texts_of(f"text {number}")))
    put(f"{bucket}/b/readme.pdf", b"not text")
    (server.folder / "in").mkdir()
    for number in range(2):
        (server.folder / "in" / f"{number}.jsonl").write_bytes(texts_of(f"served {number}"))
    (server.folder / "in" / "note.pdf").write_bytes(b"not text")

    assert reader.read(path=f"{bucket}/b/*.jsonl.gz")[1]["text"].to_list() == ["text 1", "text 0"]
    assert reader.read(path=f"{bucket}/b")[1]["text"].to_list() == ["text 1", "text 0", "text 2"]
    assert reader.read(path=server.url("in/"))[1]["text"].to_list() == ["served 0", "served 1"]
    assert reader.read(path=server.url("in/*.jsonl"))[1]["text"].to_list() == ["served 0", "served 1"]
    (reader.folder / "own.jsonl").write_bytes(texts_of("my own"))
    mixed = ["own.jsonl", server.url("in/1.jsonl"), server.url("in/*.jsonl")]
    assert reader.read(path=mixed)[1]["text"].to_list() == ["my own", "served 1", "served 0"]


def test_a_saved_dataset_behind_a_url_is_read_by_its_own_list(reader: Reader, bucket: str) -> None:
    frame = pl.DataFrame({"text": TEXTS})
    for name, part in (("data-0.arrow", frame[:10]), ("data-1.arrow", frame[10:]), ("cache-9.arrow", frame)):
        with fsspec.open(f"{bucket}/set/{name}", "wb") as file:
            part.write_ipc(file)
    put(f"{bucket}/set/state.json", b'{"_data_files": [{"filename": "data-1.arrow"}, {"filename": "data-0.arrow"}]}')
    assert reader.read(path=f"{bucket}/set")[1]["text"].to_list() == TEXTS[10:] + TEXTS[:10]
    with pytest.raises(InputError, match=r"not a saved Hugging Face dataset"):
        reader.read(path=f"{bucket}", format="hf-dataset")


def test_a_target_and_its_holdout_may_be_urls(reader: Reader, bucket: str) -> None:
    put(f"{bucket}/train.jsonl", texts_of("one film", "two films"))
    put(f"{bucket}/test.jsonl", texts_of("three films", "two films"))
    paths = {"path": f"{bucket}/train.jsonl", "holdout": {"path": f"{bucket}/test.jsonl"}}
    target = TargetSettings.model_validate({"name": "film", **paths})
    out = reader.folder / "target"
    summary = read_target(target, PreparationSettings(), reader.folder, out, remote=reader.remote())
    assert (summary["train_documents"], summary["heldout_documents"]) == (2, 1)
    files = content_fingerprint(target, reader.folder, cache=reader.folder / "c.json", remote=reader.remote())
    assert list(files) == [f"{bucket}/train.jsonl", f"{bucket}/test.jsonl"]


def test_unchanged_files_are_fetched_once_and_changed_ones_again(reader: Reader, server: Server) -> None:
    path, url = server.folder / "a.jsonl", server.url("a.jsonl")
    path.write_bytes(JSONL)
    assert reader.checksums(url) == {url: file_sha256(path)}
    reader.read(path=url)
    reader.read(path=url)
    assert server.gets == ["/a.jsonl"]
    path.write_bytes(texts_of("wholly new"))
    assert reader.read(path=url)[1]["text"].to_list() == ["wholly new"]
    assert reader.checksums(url) == {url: file_sha256(path)}
    assert server.gets == ["/a.jsonl"] * 2


def test_one_reading_stays_with_the_version_that_checksums_were_taken_of(reader: Reader, bucket: str) -> None:
    url = f"{bucket}/a.jsonl"
    put(url, texts_of("before"))
    source = SourceSettings.model_validate({"name": "s", "path": url})
    remote = reader.remote()
    content_fingerprint(source, reader.folder, cache=reader.folder / "c.json", remote=remote)
    put(url, texts_of("after"))
    out = reader.folder / "out"
    read_documents(source, PreparationSettings(), reader.folder, out, remote=remote)
    assert scan_documents(out).collect()["text"].to_list() == ["before"]


def test_only_the_last_two_versions_are_kept(reader: Reader, bucket: str) -> None:
    for number in range(4):
        put(f"{bucket}/a.jsonl", texts_of(f"version {number}"))
        reader.read(path=f"{bucket}/a.jsonl")
    assert sorted(path.read_bytes() for path in reader.files()) == [texts_of("version 2"), texts_of("version 3")]


def test_a_look_without_fetching_sees_the_change_and_copies_nothing(reader: Reader, server: Server) -> None:
    path, url = server.folder / "a.jsonl", server.url("a.jsonl")
    path.write_bytes(JSONL)
    unread = reader.checksums(url, fetch=False)
    assert not reader.copies.exists()
    read = reader.checksums(url)
    assert unread != read
    assert reader.checksums(url, fetch=False) == read
    path.write_bytes(texts_of("new"))
    changed = reader.checksums(url, fetch=False)
    assert changed not in (read, unread)
    assert reader.checksums(url, fetch=False) == changed
    assert server.gets == ["/a.jsonl"]


def test_a_transfer_that_is_cut_off_is_tried_again_and_leaves_nothing_half(reader: Reader, server: Server) -> None:
    path, url = server.folder / "a.jsonl", server.url("a.jsonl")
    path.write_bytes(JSONL)
    server.faults = ["cut"] * 4
    with pytest.raises(InputError, match=r"sources 's': http://.*a\.jsonl could not be fetched, the last of 4 attempt"):
        reader.read(path=url)
    assert reader.files() == []
    server.faults = ["cut", 503]
    assert reader.read(path=url)[0]["read"] == 20
    assert [file.read_bytes() for file in reader.files()] == [JSONL]


def test_a_killed_fetch_leaves_nothing_that_is_read(reader: Reader, server: Server) -> None:
    content = texts_of(*(f"text number {n}" for n in range(600_000)))
    (server.folder / "a.jsonl").write_bytes(content)
    url = server.url("a.jsonl")
    server.faults = ["stall"]
    script = (
        "import sys; from pathlib import Path; from gotd_assets.corpus.files.copies import RemoteFiles; "
        "remote = RemoteFiles(Path(sys.argv[1])); "
        "remote.copy(remote.look(sys.argv[2], 's').files[0], 's')"
    )
    fetching = subprocess.Popen([sys.executable, "-c", script, str(reader.copies), url])
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in reader.copies.glob("*/.*.partial/*")):
        assert fetching.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    fetching.kill()
    fetching.wait()
    server.killed.set()
    assert [path.parent.suffix for path in reader.files()] == [".partial"]
    assert reader.checksums(url) == {url: hashlib.sha256(content).hexdigest()}
    assert [path.read_bytes() for path in reader.files()] == [content]


def test_processes_that_want_the_same_file_fetch_it_once(reader: Reader, server: Server) -> None:
    (server.folder / "a.jsonl").write_bytes(JSONL)
    url = server.url("a.jsonl")
    found: list[dict[str, str]] = []
    threads = [threading.Thread(target=lambda: found.append(reader.checksums(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{url: file_sha256(server.folder / "a.jsonl")}] * 4
    assert server.gets == ["/a.jsonl"]


def test_progress_tells_the_bytes(reader: Reader, server: Server) -> None:
    (server.folder / "a.txt").write_bytes(b"word " * 1_000_000)
    reader.read(path=server.url("a.txt"))
    assert reader.lines[0].startswith(f"{server.url('a.txt')}: 5.0 MB of 5.0 MB, ")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.jsonl", "does not exist: correct the URL"),
        ("forbidden.jsonl", "may not be read .*: give credentials as aiohttp expects them .*netrc"),
        ("in/*.csv", "matches no file"),
        ("empty.jsonl", "the file http.*empty.jsonl is empty"),
        ("a.unknown", "the format of http.*a.unknown cannot be told"),
        ("a.parquet.gz", "http.*a.parquet.gz is a compressed parquet file"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(reader: Reader, server: Server, name: str, sentence: str) -> None:
    (server.folder / "in").mkdir()
    for file in ("forbidden.jsonl", "a.unknown", "a.parquet.gz"):
        (server.folder / file).write_bytes(JSONL)
    (server.folder / "empty.jsonl").touch()
    with pytest.raises(InputError, match=f"sources 's'.*{sentence}"):
        reader.read(path=server.url(name))


def test_a_server_that_does_not_answer_is_a_sentence(reader: Reader, server: Server) -> None:
    server.server_close()
    with pytest.raises(InputError, match=r"could not be fetched, the last of 4 attempt.*check the connection"):
        reader.read(path=server.url("a.jsonl"))


def test_a_missing_file_of_a_bucket_is_a_sentence(reader: Reader, bucket: str) -> None:
    put(f"{bucket}/a.jsonl", JSONL)
    with pytest.raises(InputError, match=r"b\.jsonl does not exist"):
        reader.read(path=f"{bucket}/b.jsonl")


def test_a_missing_package_and_an_unknown_protocol_are_sentences(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(
        InputError, match=r"s3:// needs the packages fsspec and s3fs .*pip install 'gotd-assets\[remote\]'"
    ):
        reader.read(path="s3://bucket/a.jsonl")
    with pytest.raises(InputError, match=r"files cannot be read by sftp://, only by gs, hf, http, https, s3"):
        reader.read(path="sftp://host/a.jsonl")


def test_no_part_of_a_url_leads_out_of_the_folder_of_copies(reader: Reader, bucket: str) -> None:
    for name in ("../../../out.jsonl", "a%2F..%2F..%2Fb.jsonl", "x" * 300 + ".jsonl", "new\nline.jsonl"):
        url = f"{bucket}/{name}"
        put(url, texts_of("a text"))
        assert reader.read(path=url)[0]["read"] == 1
        assert all(path.parent.parent == reader.copies for path in reader.files())
    assert {path.name for path in reader.folder.iterdir()} == {"home", *(f"out-{n}" for n in range(1, 5))}


@pytest.mark.parametrize(
    "url",
    [
        "https://me:word@host/a.jsonl",
        "https://host/a.jsonl?X-Amz-Signature=1f",
        "https://host/a.jsonl?access_token=1f",
        "file:///a.jsonl",
    ],
)
def test_urls_that_would_tell_secrets_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"a URL must not hold|without file://"):
        SourceSettings.model_validate({"name": "s", "path": ["b.jsonl", url]})


def test_a_path_stays_a_path_and_a_url_keeps_its_slashes() -> None:
    source = SourceSettings.model_validate({"name": "s", "path": ["a/b.jsonl", "s3://c/d.jsonl"]})
    assert source.path == [Path("a/b.jsonl"), "s3://c/d.jsonl"]


def test_a_folder_of_targets_is_not_a_url() -> None:
    with pytest.raises(ValueError, match="a folder of targets cannot be a URL"):
        TargetsFolderSettings.model_validate("s3://bucket/targets")
