"""Immutable, versioned artifacts: what one station leaves for the next.

An artifact is a directory `<root>/<asset>/<partition>/<version>/` holding data files and `manifest.json`. It is
written under a temporary name, flushed to disk and renamed, so that a reader sees all of it or none, and it is never
changed afterwards. Beside the versions, `CURRENT` names the one that later stations read; inside one orchestrated run
`runs/<run_id>` takes precedence, so that two runs with different settings do not read each other's work.
"""

import contextlib
import dataclasses
import datetime as dt
import errno
import fcntl
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Self

from gotd_assets.errors import ArtifactError
from gotd_assets.fingerprint import Json, file_sha256, fingerprint

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,119}\Z")
_UNPARTITIONED = "all"
MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class ArtifactKey:
    """Which artifact: the asset that makes it and, for a partitioned asset, `partition` ('imdb', 'imdb/gotd')."""

    asset: str
    partition: str | None = None

    def __post_init__(self) -> None:
        for segment in (self.asset, *(self.partition or _UNPARTITIONED).split("/")):
            if not _SEGMENT.match(segment):
                raise ArtifactError(
                    f"artifact name {segment!r} is not allowed: use letters, digits, '_', '-' and '.', "
                    "starting with a letter or digit, at most 120 characters"
                )

    def __str__(self) -> str:
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"

    @property
    def relative_path(self) -> Path:
        """Where the versions of this artifact live below the store's root."""
        return Path(self.asset, *(self.partition or _UNPARTITIONED).split("/"))


@dataclasses.dataclass(frozen=True)
class ArtifactFile:
    """One data file of an artifact: `name` relative to the artifact, `size` in bytes, `sha256` in hex."""

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What an artifact is and what it was made of.

    Attributes:
        asset: name of the asset.
        partition: partition key, or None.
        version: hash of inputs, parameters and code version (see `artifact_version`).
        code_version: version of the station's code.
        inputs: version of every input by its name, e.g. {"target_sketch[imdb]": "9f…"}.
        parameters: the settings that shaped the content.
        created_at: UTC time in ISO 8601.
        files: every data file with size and checksum.
        summary: counts and figures worth showing to people.
    """

    asset: str
    partition: str | None
    version: str
    code_version: str
    inputs: Mapping[str, str]
    parameters: Mapping[str, Json]
    created_at: str
    files: tuple[ArtifactFile, ...]
    summary: Mapping[str, Json]


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A complete artifact on disk."""

    path: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        """The artifact's version."""
        return self.manifest.version

    @property
    def key(self) -> ArtifactKey:
        """The artifact's key."""
        return ArtifactKey(self.manifest.asset, self.manifest.partition)

    def file(self, name: str) -> Path:
        """Path of the data file `name`.

        Raises:
            ArtifactError: the manifest lists no such file.
        """
        if all(file.name != name for file in self.manifest.files):
            known = ", ".join(file.name for file in self.manifest.files)
            raise ArtifactError(f"{self.key} version {self.version} has no file {name!r}; it has: {known}")
        return self.path / name

    def verify(self) -> list[str]:
        """Compare the files on disk with the manifest; return one sentence per difference, none if intact."""
        problems = []
        for file in self.manifest.files:
            path = self.path / file.name
            if not path.is_file():
                problems.append(f"{path}: missing")
            elif path.stat().st_size != file.size:
                problems.append(f"{path}: {path.stat().st_size} bytes on disk, {file.size} recorded")
            elif file_sha256(path) != file.sha256:
                problems.append(f"{path}: content differs from the recorded checksum")
        return problems


class ArtifactWriter:
    """An artifact being written. Put files below `path`; set `summary`; leave the `with` block to commit.

    `final_path` is where the folder will stand then, for records that name it.
    """

    def __init__(self, path: Path, final_path: Path) -> None:
        self.path = path
        self.final_path = final_path
        self.summary: dict[str, Json] = {}
        self.artifact: Artifact | None = None


def artifact_version(asset: str, code_version: str, inputs: Mapping[str, str], parameters: Mapping[str, Json]) -> str:
    """Version of an artifact made by `asset` at `code_version` from `inputs` (name to version) with `parameters`."""
    return fingerprint({"asset": asset, "code": code_version, "inputs": inputs, "parameters": parameters})


@dataclasses.dataclass(frozen=True)
class ArtifactStore:
    """The artifacts of one project, below `root` (usually `<home>/artifacts`)."""

    root: Path

    def find(self, key: ArtifactKey, version: str) -> Artifact | None:
        """The artifact of that version if it was completely written, else None."""
        path = self.root / key.relative_path / version
        if not (path / MANIFEST).is_file():
            return None
        return read_artifact(path)

    def current(self, key: ArtifactKey, run_id: str | None = None) -> Artifact:
        """The artifact that readers should use now: what run `run_id` published, else the newest published.

        Raises:
            ArtifactError: nothing was published yet, or the published version is gone from disk.
        """
        base = self.root / key.relative_path
        pointers = [base / "runs" / run_id] if run_id else []
        for pointer in (*pointers, base / "CURRENT"):
            with contextlib.suppress(FileNotFoundError):
                version = pointer.read_text(encoding="ascii").strip()
                artifact = self.find(key, version)
                if artifact is None:
                    raise ArtifactError(
                        f"{key} version {version} is named by {pointer} but not on disk: materialise {key.asset} again"
                    )
                return artifact
        raise ArtifactError(f"{key} has not been made yet: materialise {key.asset} first")

    def publish(self, artifact: Artifact, run_id: str | None = None) -> None:
        """Make `artifact` the current one of its key (and, if given, the one that run `run_id` reads)."""
        base = self.root / artifact.key.relative_path
        if run_id is not None:
            write_atomically(base / "runs" / run_id, artifact.version)
        write_atomically(base / "CURRENT", artifact.version)

    def versions(self, key: ArtifactKey) -> list[Artifact]:
        """Every complete version of `key`, oldest first."""
        base = self.root / key.relative_path
        manifests = base.glob(f"*/{MANIFEST}") if base.is_dir() else ()
        found = [read_artifact(path.parent) for path in manifests]
        return sorted(found, key=lambda artifact: artifact.manifest.created_at)

    def all_versions(self) -> list[Artifact]:
        """Every complete version of every artifact."""
        found = []
        for folder, folders, files in os.walk(self.root):
            if MANIFEST in files:
                found.append(read_artifact(Path(folder)))
                folders.clear()
        return found

    def remove(self, artifact: Artifact) -> None:
        """Remove one version for good; killed half-way, the rest goes with the next sweep.

        Raises:
            ArtifactError: it is the current version of its key.
        """
        base = self.root / artifact.key.relative_path
        with contextlib.suppress(FileNotFoundError):
            if (base / "CURRENT").read_text(encoding="ascii").strip() == artifact.version:
                raise ArtifactError(f"{artifact.key} version {artifact.version} is current and cannot be removed")
        temporary_root = self.root.parent / "tmp"
        temporary_root.mkdir(parents=True, exist_ok=True)
        with _TemporaryDirectory.create(temporary_root) as directory:
            artifact.path.rename(directory / artifact.version)
        for pointer in (base / "runs").glob("*"):
            if pointer.read_text(encoding="ascii").strip() == artifact.version:
                pointer.unlink(missing_ok=True)

    def scratch(self, key: ArtifactKey, version: str) -> Path:
        """A directory that survives a crash of the step, for checkpoints."""
        path = self.root.parent / "scratch" / key.relative_path / version
        path.mkdir(parents=True, exist_ok=True)
        return path

    def discard_scratch(self, key: ArtifactKey, version: str) -> None:
        """Remove the scratch directory of a version that is finished."""
        shutil.rmtree(self.root.parent / "scratch" / key.relative_path / version, ignore_errors=True)

    @contextlib.contextmanager
    def write(
        self,
        key: ArtifactKey,
        version: str,
        *,
        code_version: str,
        inputs: Mapping[str, str],
        parameters: Mapping[str, Json],
    ) -> Iterator[ArtifactWriter]:
        """Write one artifact; it appears under its version when the block ends without an exception.

        Another process that finished the same version first wins; the content is the same by contract.

        Raises:
            ArtifactError: the disk is full; what was written so far is removed.
        """
        temporary_root = self.root.parent / "tmp"
        temporary_root.mkdir(parents=True, exist_ok=True)
        with _TemporaryDirectory.create(temporary_root) as directory:
            final = self.root / key.relative_path / version
            writer = ArtifactWriter(directory, final)
            try:
                yield writer
                manifest = Manifest(
                    asset=key.asset,
                    partition=key.partition,
                    version=version,
                    code_version=code_version,
                    inputs=dict(inputs),
                    parameters=dict(parameters),
                    created_at=dt.datetime.now(dt.UTC).isoformat(),
                    files=_flush_and_list(directory),
                    summary=writer.summary,
                )
                content = json.dumps(dataclasses.asdict(manifest), indent=2, sort_keys=True, allow_nan=False)
                with (directory / MANIFEST).open("w", encoding="utf-8") as file:
                    file.write(content)
                    _fsync(file)
                final.parent.mkdir(parents=True, exist_ok=True)
                try:
                    directory.rename(final)
                    _fsync_directory(final.parent)
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                        raise
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise ArtifactError(
                        f"no space left on the disk of {self.root} while writing {key}: free some space "
                        f"(`gotd gc` lists artifacts nothing depends on) and materialise {key.asset} again; "
                        "earlier versions are untouched"
                    ) from error
                raise
        writer.artifact = read_artifact(self.root / key.relative_path / version)

    def sweep(self) -> int:
        """Remove temporary directories whose writer is dead (killed steps); return how many."""
        return _TemporaryDirectory.sweep(self.root.parent / "tmp")


def read_artifact(path: Path) -> Artifact:
    """Open the artifact in directory `path`.

    Raises:
        ArtifactError: the manifest is missing or malformed.
    """
    try:
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        files = tuple(ArtifactFile(**file) for file in raw.pop("files"))
        return Artifact(path, Manifest(**raw, files=files))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path} is not a complete artifact: {error}") from error


def write_atomically(path: Path, content: str) -> None:
    """Replace the text file `path` by `content`; a crash leaves the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(content)
            _fsync(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _TemporaryDirectory:
    """A directory whose lock file is held while its writer lives, so that others can tell it was abandoned."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, root: Path) -> Self:
        name = uuid.uuid4().hex
        lock = (root / f"{name}.lock").open("w", encoding="ascii")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = root / name
        path.mkdir()
        return cls(path, lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()

    @staticmethod
    def sweep(root: Path) -> int:
        removed = 0
        for lock_path in root.glob("*.lock"):
            with lock_path.open("w", encoding="ascii") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
                lock_path.unlink(missing_ok=True)
                removed += 1
        return removed


def _flush_and_list(directory: Path) -> tuple[ArtifactFile, ...]:
    files = []
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            files.append(ArtifactFile(str(path.relative_to(directory)), path.stat().st_size, file_sha256(path)))
    return tuple(files)


def _fsync(file: IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
