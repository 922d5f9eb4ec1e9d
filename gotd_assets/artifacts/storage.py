"""Artifacts in an object store, for every machine that shares it.

A file is an object named by its checksum, `objects/ab/ab12…`; an artifact is there once its manifest is,
`artifacts/<asset>/<partition>/<version>/manifest.json`, which is put last and only if there is none. What was put twice is the
same; what was put half has no name. Whatever is read is compared with its checksum.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.artifacts.artifact import MANIFEST, Artifact, ArtifactFile, ArtifactKey
from gotd_assets.artifacts.atomic import file_made
from gotd_assets.errors import StorageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_INSTALL = "pip install 'gotd-assets[storage]'"
_AT_FIRST = dt.timedelta(seconds=10)  # that an address may take to answer once
_PATIENCE = dt.timedelta(seconds=120)  # that a server which answered may be away
_ONE_PUT = 64 * 2**20  # bytes; what is larger goes in parts
_CHUNK = 8 * 2**20
# By status, by MinIO's and S3's codes, and by the operating system behind file://.
_SIGNS_OF_FULL = ("507 Insufficient", "StorageFull", "QuotaExceeded", "No space left", "os error 28")


class Storage:
    """The artifacts at one address. Made by `storage_at`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = _connected(url)

    def has(self, key: ArtifactKey, version: str) -> bool:
        """Whether that version is there, whole.

        Raises:
            StorageError: the store does not answer, or refuses.
        """
        return self._size(_manifest(key, version)) is not None

    def manifest(self, key: ArtifactKey, version: str) -> bytes | None:
        """The manifest of that version, or None.

        Raises:
            StorageError: the store does not answer, or refuses.
        """
        import obstore

        with self._asked(_manifest(key, version)):
            try:
                return bytes(obstore.get(self._store, _manifest(key, version)).bytes())
            except (FileNotFoundError, obstore.exceptions.NotFoundError):
                return None

    def fetch(self, file: ArtifactFile, path: Path) -> None:
        """Write the object of `file` to `path`, unless something is there.

        Raises:
            StorageError: the store does not answer or refuses, has no such object, or another content.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_made(path) as partial, partial.open("wb") as target:
            for chunk in self._checked(file):
                target.write(chunk)

    def is_intact(self, file: ArtifactFile) -> bool:
        """Whether the object of `file` is there with the content that its name says; all of it is read."""
        try:
            for _ in self._checked(file):
                pass
        except _DifferentError:
            return False
        return True

    def push(self, artifact: Artifact) -> bool:
        """Put `artifact` there, its manifest last; False if it was there already, made by another run perhaps.

        Raises:
            StorageError: the store does not answer, refuses, or is full; what was put until then has no name.
        """
        if self.has(artifact.key, artifact.version):
            return False
        for file in artifact.manifest.files:
            self._put_object(file, artifact.path / file.name)
        first = self._create(_manifest(artifact.key, artifact.version), artifact.path / MANIFEST)
        for file in artifact.manifest.files:  # what a `sweep` took for left over meanwhile
            self._put_object(file, artifact.path / file.name)
        return first

    def remove(self, key: ArtifactKey, version: str) -> None:
        """Take the version's name away; its objects go with a `sweep` if no other artifact has them."""
        import obstore

        with self._asked(_manifest(key, version)), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, _manifest(key, version))

    def sweep(self, older_than: dt.timedelta) -> int:
        """Remove objects older than that which no manifest names; return their bytes."""
        import obstore

        before = dt.datetime.now(dt.UTC) - older_than
        with self._asked("objects/"):
            left = {
                entry["path"]: entry["size"]
                for batch in obstore.list(self._store, "objects/")
                for entry in batch
                if entry["last_modified"] < before
            }
            for batch in obstore.list(self._store, "artifacts/"):
                for entry in batch:
                    named = json.loads(bytes(obstore.get(self._store, entry["path"]).bytes()))
                    for file in named["files"]:
                        left.pop(_object(file["sha256"]), None)
            for path in left:
                obstore.delete(self._store, path)
        return sum(left.values())

    def _checked(self, file: ArtifactFile) -> Iterator[bytes]:
        import obstore

        name = _object(file.sha256)
        digest = hashlib.sha256()
        with self._asked(name):
            try:
                for chunk in obstore.get(self._store, name).stream(min_chunk_size=_CHUNK):
                    digest.update(chunk)
                    yield bytes(chunk)
            except (FileNotFoundError, obstore.exceptions.NotFoundError) as error:
                raise _DifferentError(f"storage.url {self.url}: {name}, which is {file.name}, is gone") from error
        if digest.hexdigest() != file.sha256:
            raise _DifferentError(
                f"storage.url {self.url}: {name}, which is {file.name}, has another content than its name says: it was damaged; "
                "remove the object, and push it again from a machine that has the artifact with `gotd run`"
            )

    def _put_object(self, file: ArtifactFile, path: Path) -> None:
        import obstore

        name = _object(file.sha256)
        if self._size(name) == file.size:
            return
        if file.size <= _ONE_PUT:
            self._create(name, path)
            return
        with self._asked(name):
            obstore.put(self._store, name, path, use_multipart=True, chunk_size=_CHUNK)

    def _create(self, name: str, path: Path) -> bool:
        import obstore

        with self._asked(name):
            try:
                obstore.put(self._store, name, path, mode="create", use_multipart=False)
            except (FileExistsError, obstore.exceptions.AlreadyExistsError):
                return False
        return True

    def _size(self, name: str) -> int | None:
        import obstore

        with self._asked(name):
            try:
                return int(obstore.head(self._store, name)["size"])
            except (FileNotFoundError, obstore.exceptions.NotFoundError):
                return None

    @contextlib.contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        import obstore.exceptions as told

        try:
            yield
        except (told.PermissionDeniedError, told.UnauthenticatedError, PermissionError) as error:
            raise _refused(self.url, error) from error
        except told.BaseError as error:
            full = (
                "; the store is full, so make room there" if any(sign in str(error) for sign in _SIGNS_OF_FULL) else ""
            )
            raise StorageError(
                f"storage.url {self.url}: {name} could not be read or written ({_first_line(error)}){full}; what was published is whole, "
                "and a run that goes on puts only what is missing",
                may_pass=True,
            ) from error


class _DifferentError(StorageError):
    """An object is not what its name says."""


@functools.cache
def storage_at(url: str) -> Storage:
    """The object store at `url`, as settings give it; credentials and endpoint come from the environment.

    Raises:
        StorageError: the extra is not installed, nothing answers there, the bucket does not exist, or it refuses.
    """
    return Storage(url)


def _connected(url: str) -> ObjectStore:
    try:
        import obstore
        import obstore.exceptions as told
    except ModuleNotFoundError as error:
        raise StorageError(f"storage.url is set, which needs a package that is not installed: {_INSTALL}") from error
    try:
        found = _opened(url, _AT_FIRST)
        with contextlib.suppress(FileNotFoundError, told.NotFoundError):
            obstore.head(found, f"artifacts/{MANIFEST}")
        next(iter(obstore.list(found, "artifacts/", chunk_size=1)), None)
    except (told.PermissionDeniedError, told.UnauthenticatedError, PermissionError) as error:
        raise _refused(url, error) from error
    except (told.BaseError, OSError, ValueError) as error:
        raise StorageError(
            f"storage.url {url} cannot be used ({_first_line(error)}): look at the bucket's name and, for a server of your own, "
            "at AWS_ENDPOINT_URL"
        ) from error
    return _opened(url, _PATIENCE)


def _opened(url: str, patience: dt.timedelta) -> ObjectStore:
    from obstore.store import LocalStore, from_url

    if url.startswith("file://"):
        return LocalStore(Path(url.removeprefix("file://")), mkdir=True)
    insecure = os.environ.get("AWS_ENDPOINT_URL", os.environ.get("AWS_ENDPOINT", "")).startswith("http://")
    client: Any = {"connect_timeout": "5s", "read_timeout": "60s", "timeout": "1h", "allow_http": insecure}
    backoff: Any = {"max_backoff": dt.timedelta(seconds=5)}
    return from_url(
        url, client_options=client, retry_config={"retry_timeout": patience, "max_retries": 60, "backoff": backoff}
    )


def _refused(url: str, error: Exception) -> StorageError:
    return StorageError(
        f"storage.url {url}: access was refused ({_first_line(error)}): look at the credentials in the environment "
        "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3) and at what they may do there"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _object(sha256: str) -> str:
    return f"objects/{sha256[:2]}/{sha256}"


def _manifest(key: ArtifactKey, version: str) -> str:
    return f"artifacts/{key.relative_path}/{version}/{MANIFEST}"
