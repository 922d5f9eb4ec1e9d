"""Copies of remote files: each version of a file is fetched once and then read as a local file.

Below the folder every URL has a subfolder named by its hash, and in it every version of the content a file named by the
hash of what the server says of it. No part of a URL becomes part of a path.
"""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gotd_assets.artifacts.atomic import replaced, sweep, write_atomically
from gotd_assets.artifacts.lock import held
from gotd_assets.corpus.files.names import path_of
from gotd_assets.corpus.files.remote import Listing, RemoteFile, RemoteStore
from gotd_assets.fingerprint import fingerprint
from gotd_assets.settings.text_files import compression_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SECONDS_BETWEEN_REPORTS = 2.0
_RECORD = "fetched.json"
_LOCK = "lock"


@dataclasses.dataclass(frozen=True)
class FetchProgress:
    """How much of a remote file has come: `done` of `total` bytes (None: unknown) at `per_second` bytes."""

    url: str
    done: int
    total: int | None
    per_second: float

    def __str__(self) -> str:
        total = "" if self.total is None else f" of {_megabytes(self.total)}"
        left = ""
        if self.total is not None and self.per_second > 0:
            left = f", about {max(self.total - self.done, 0) / self.per_second:,.0f} s left"
        return f"{self.url}: {_megabytes(self.done)}{total}, {_megabytes(self.per_second)} per second{left}"


class RemoteFiles:
    """Files behind URLs, all as they were when first looked at, and their copies below `folder`.

    One object serves one reading, so that what is read is what checksums were taken of. Without `fetch` nothing is
    copied and nothing is tried twice; a path whose file does not exist then stands for a version not fetched yet.
    `progress` receives objects whose str() is a line for the log.
    """

    def __init__(self, folder: Path, progress: Callable[[object], None] | None = None, *, fetch: bool = True) -> None:
        self._folder = folder
        self._progress = progress
        self._fetch = fetch
        self._listings: dict[str, Listing] = {}
        self._paths: dict[str, Path] = {}

    def look(self, url: str, label: str) -> Listing:
        """The files that `url` means; `label` names the entry of gotd.yaml in messages.

        Raises:
            InputError: it cannot be reached or read.
        """
        if url not in self._listings:
            self._listings[url] = RemoteStore(url, label, retry=self._fetch).look(url)
        return self._listings[url]

    def copy(self, file: RemoteFile, label: str, *, needed: bool = False) -> Path:
        """Where the copy of `file` is, fetched now if it is not there (and `fetch`, or it is `needed`).

        The copy's name ends as the URL does if that is the ending of an archive.

        Raises:
            InputError: it cannot be reached or read, or changes meanwhile.
        """
        if file.url not in self._paths:
            place = self._folder / fingerprint(file.url)
            ending = compression_of(urlsplit(file.url).path) or ""
            path = place / f"{file.version}{ending}"
            if self._fetch or (needed and not path.is_file()):
                self._ensure(file, path, label)
            self._paths[file.url] = path
        return self._paths[file.url]

    def is_unfetched(self, path: Path) -> bool:
        """Whether `path` stands for a copy that is not there."""
        return path.is_relative_to(self._folder) and not path.is_file()

    def local(self, name: str, root: Path) -> Path:
        """Where the file called `name` in origins is: a URL's copy, else relative to `root`."""
        return self._paths.get(name) or path_of(name, root)

    def _ensure(self, file: RemoteFile, path: Path, label: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only one process at a time fetches a file; the others wait, and find it.
        with held(path.parent / _LOCK):
            if not path.is_file():
                sweep(path.parent)
                with replaced(path) as partial:
                    RemoteStore(file.url, label).fetch(file, partial, self._meter(file))
            _keep(path, file.url)

    def _meter(self, file: RemoteFile) -> Callable[[int], None]:
        start = last = time.monotonic()

        def tell(done: int) -> None:
            nonlocal last
            now = time.monotonic()
            if self._progress is not None and (done == file.size or now - last >= _SECONDS_BETWEEN_REPORTS):
                last = now
                self._progress(FetchProgress(file.url, done, file.size, done / max(now - start, 1e-9)))

        return tell


def _keep(path: Path, url: str) -> None:
    """Remember `path` as the copy in use; the one before stays too, as another run may be reading it."""
    record = path.parent / _RECORD
    try:
        before = json.loads(record.read_text(encoding="utf-8"))["copy"]
    except (OSError, ValueError, KeyError, TypeError):
        before = None
    if before == path.name:
        return
    write_atomically(record, json.dumps({"url": url, "copy": path.name, "before": before}))
    for other in path.parent.iterdir():
        if other.name not in (path.name, before, _RECORD, _LOCK):
            other.unlink()


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
