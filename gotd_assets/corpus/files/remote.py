"""What a URL means and how its bytes come here, through fsspec; every failure a sentence."""

from __future__ import annotations

import dataclasses
import errno
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urldefrag

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# Which package each protocol needs beside fsspec. Protocols whose URLs name a host that their paths do not (sftp, smb)
# are not among them: two hosts could not be told apart.
_PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "memory": "fsspec",
}
# Two names of one file would be two files.
_OTHER_NAMES = {"s3a": "s3", "gcs": "gs"}
_ENVIRONMENT = {
    "s3fs": "AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gcsfs": "GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth application-default login`",
    "huggingface_hub": "HF_TOKEN or `hf auth login`",
    "aiohttp": "a netrc file (NETRC)",
}
# The first that a server gives tells its content; those above are stronger than those below.
_VALIDATORS = (
    ("ETag", "etag"),
    ("blob_id",),
    ("md5Hash", "Content-MD5", "Digest"),
    ("generation",),
    ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created"),
)
PAUSES = (1.0, 3.0, 9.0)
_CONNECT_SECONDS = 10
_SILENT_SECONDS = 60
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """One file behind a URL.

    Attributes:
        url: its whole URL.
        path: what fsspec calls it.
        version: hash of what the server says that changes with the content (ETag, size, time of change).
        size: bytes, None if the server does not say.
    """

    url: str
    path: str
    version: str
    size: int | None


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files that a URL means, sorted; `folder` is the URL of the folder they are in, if it names one."""

    files: tuple[RemoteFile, ...]
    folder: str | None = None


class RemoteStore:
    """What stands behind URLs of one protocol, asked at most `1 + len(PAUSES)` times if it does not answer."""

    def __init__(self, url: str, label: str, *, retry: bool = True) -> None:
        self._label = label
        protocol = url.partition("://")[0]
        self._protocol = _OTHER_NAMES.get(protocol, protocol)
        self._pauses = PAUSES if retry else ()
        self._system = _file_system(self._protocol, label)

    def look(self, url: str) -> Listing:
        """What `url` (a file, a folder, a glob) means now.

        Raises:
            InputError: it cannot be reached or read; a glob or folder without files is an empty listing.
        """
        return self._attempt(lambda: self._look(url), url)

    def fetch(self, file: RemoteFile, path: Path, tell: Callable[[int], None]) -> None:
        """Copy the content of `file` into `path`; `tell` receives the bytes copied so far.

        Raises:
            InputError: it cannot be reached or read, or changed meanwhile; what is at `path` is then of no use.
        """
        self._attempt(lambda: self._transfer(file, path, tell), file.url)

    def _look(self, url: str) -> Listing:
        self._system.invalidate_cache()
        is_http = self._protocol in ("http", "https")
        path = urldefrag(url).url if is_http else self._system._strip_protocol(url)
        # In a web address '?' begins the query.
        if any(character in path for character in ("*[" if is_http else "*?[")):
            return Listing(self._described(self._system.glob(path, detail=True)))
        if is_http and not path.endswith("/"):
            return Listing((self._described_file(path),))
        if is_http or self._info(path)["type"] == "directory":
            return Listing(self._described(self._system.find(path, detail=True)), self._url(path).rstrip("/"))
        return Listing((self._described_file(path),))

    def _info(self, path: str) -> Mapping[str, Any]:
        # Without being asked the Hugging Face hub does not tell a file's hash.
        found: Mapping[str, Any] = self._system.info(path, **({"expand_info": True} if self._protocol == "hf" else {}))
        return found

    def _described(self, found: Mapping[str, Mapping[str, Any]]) -> tuple[RemoteFile, ...]:
        files = sorted(path for path, info in found.items() if info["type"] == "file")
        return tuple(self._described_file(path) for path in files)

    def _described_file(self, path: str) -> RemoteFile:
        # Listings tell less than this, or otherwise; where they tell all, fsspec answers from the listing.
        info = self._info(path)
        url = self._url(path)
        size = info.get("size")
        validator = next((str(info[name]) for names in _VALIDATORS for name in names if info.get(name)), None)
        if validator is None and size is None:
            raise InputError(
                f"{self._label}: the server of {url} tells neither ETag, Last-Modified nor size, so nobody can know "
                "when the file changes or whether all of it came: download it, and give the path of the copy"
            )
        return RemoteFile(url, path, fingerprint([validator, size]), size)

    def _url(self, path: str) -> str:
        return path if self._protocol in ("http", "https") else f"{self._protocol}://{path.lstrip('/')}"

    def _transfer(self, file: RemoteFile, path: Path, tell: Callable[[int], None]) -> None:
        from fsspec.callbacks import Callback

        callback = Callback(hooks={"bytes": lambda _size, value, **_: tell(value)})
        self._system.get_file(file.path, str(path), callback=callback)
        size = path.stat().st_size
        if file.size is not None and size < file.size:
            raise ConnectionError(f"the transfer ended after {size:,} of {file.size:,} bytes")
        self._system.invalidate_cache()
        if self._described_file(file.path).version != file.version:
            raise InputError(
                f"{self._label}: {file.url} changed while it was fetched: run again when nobody writes it any more"
            )

    def _attempt(self, action: Callable[[], _Result], url: str) -> _Result:
        for pause in (*self._pauses, None):
            try:
                return action()
            except InputError:
                raise
            except Exception as error:
                reason = self._permanent(error)
                may_pass = reason is None
                if reason is None and pause is None:
                    reason = (
                        f"could not be fetched, the last of {len(self._pauses) + 1} attempt(s) ended with "
                        f"{_innermost(error)!r}: check the connection and the server, then run again"
                    )
                if reason is not None:
                    raise InputError(f"{self._label}: {url} {reason}", may_pass=may_pass) from error
                time.sleep(pause or 0)
        raise AssertionError("the last attempt returns or raises")

    def _permanent(self, error: BaseException) -> str | None:
        """Why trying again would not help; None if it may."""
        chain = list(_chain(error))
        status = next((status for status in map(_status, chain) if status is not None), None)
        if any(isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT) for link in chain):
            return "does not fit: no space is left on the disk of the project's home: free some, then run again"
        if (
            status in (401, 403)
            or any(isinstance(link, PermissionError) for link in chain)
            or any("Credential" in type(link).__name__ for link in chain)
        ):
            package = _PACKAGES[self._protocol]
            where = _ENVIRONMENT.get(package, "the environment")
            return f"may not be read ({_innermost(error)}): give credentials as {package} expects them ({where})"
        if status in (404, 410) or (status is None and isinstance(chain[-1], FileNotFoundError)):
            return "does not exist: correct the URL in gotd.yaml, or put the file there"
        if status is not None and 400 <= status < 500 and status not in (408, 425, 429):
            return f"was refused with status {status} ({_innermost(error)}): correct the URL in gotd.yaml"
        return None


def _file_system(protocol: str, label: str) -> Any:
    if protocol not in _PACKAGES:
        known = ", ".join(sorted(_PACKAGES.keys() - {"memory"}))
        raise InputError(
            f"{label}: files cannot be read by {protocol}://, only by {known}: copy them here, and give their path"
        )
    package = _PACKAGES[protocol]
    try:
        import fsspec

        if package != "aiohttp":
            return fsspec.filesystem(protocol)
        import aiohttp

        # Bytes must come as they lie on the server: a .gz must not be unpacked on the way. Large files take long,
        # so only silence has a limit. netrc and proxies are those of the environment.
        silence = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)
        client = {"trust_env": True, "auto_decompress": False, "timeout": silence}
        return fsspec.filesystem(protocol, client_kwargs=client, headers={"Accept-Encoding": "identity"})
    except ImportError as error:
        raise InputError(
            f"{label}: {protocol}:// needs the packages fsspec and {package} ({error}): "
            f"pip install 'gotd-assets[remote]', or {package} alone"
        ) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _innermost(error: BaseException) -> BaseException:
    return list(_chain(error))[-1]


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of aiohttp, gcsfs, huggingface_hub or botocore carries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        response_status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        response_status = getattr(response, "status_code", None)
    # aiohttp's errors of transfer have a code too, 400, though no server said so.
    code = getattr(error, "code", None) if type(error).__module__.startswith("gcsfs") else None
    for status in (getattr(error, "status", None), code, response_status):
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None
