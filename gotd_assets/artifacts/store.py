"""Immutable, versioned artifacts: what one station leaves for the next.

An artifact is a directory `<root>/<asset>/<partition>/<version>/` holding data files and `manifest.json`. It is
written under a temporary name, flushed to disk and renamed, so that a reader sees all of it or none, and it is never
changed afterwards. Beside the versions, `CURRENT` names the one that later stations read; inside one orchestrated run
`runs/<run_id>` takes precedence, so that two runs with different settings do not read each other's work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import errno
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import (
    MANIFEST,
    Artifact,
    ArtifactFile,
    ArtifactKey,
    Manifest,
    list_files,
    read_artifact,
)
from gotd_assets.artifacts.atomic import folder_made, remove_folder, sweep, write_atomically
from gotd_assets.artifacts.leases import identity, in_use
from gotd_assets.artifacts.storage import Storage, storage_at
from gotd_assets.errors import ArtifactError, MissingArtifactError
from gotd_assets.fingerprint import Json

if TYPE_CHECKING:
    from gotd_assets.settings.project import Project

# A folder's name, so that a pointer leads nowhere else.
_VERSION = re.compile(r"[A-Za-z0-9_-]+")
ASIDE = "comparison-"
"""How ids of runs begin that publish beside what is current."""


class ArtifactWriter:
    """An artifact being written. Put files below `path`; set `summary`; leave the `with` block to commit.

    `final_path` is where the folder will stand then, for records that name it.
    """

    def __init__(self, path: Path, final_path: Path, scratch: Path) -> None:
        self.path = path
        self.final_path = final_path
        self.summary: dict[str, Json] = {}
        self.artifact: Artifact | None = None
        self._scratch = scratch

    @property
    def scratch(self) -> Path:
        """A folder that survives a crash and is handed to the next attempt at this version, for checkpoints."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch


@dataclasses.dataclass(frozen=True)
class ArtifactStore:
    """The artifacts of one project, below `root` (usually `<home>/artifacts`).

    Attributes:
        root: the folder.
        storage_url: of the object store that has them too, if there is one: what is not here is brought from there.
        cache_bytes: of files kept here that the object store has, or None for all.
    """

    root: Path
    storage_url: str | None = None
    cache_bytes: int | None = None

    @classmethod
    def of(cls, project: Project) -> ArtifactStore:
        """The store of a project; its object store is first asked when it is needed."""
        settings = project.settings.storage
        cache = None if settings.cache_gb is None else int(settings.cache_gb * 2**30)
        return cls(project.home.artifacts, settings.url, cache)

    @property
    def storage(self) -> Storage | None:
        """The object store, if there is one.

        Raises:
            StorageError: it cannot be used.
        """
        return None if self.storage_url is None else storage_at(self.storage_url)

    @property
    def _temporary(self) -> Path:
        return self.root.parent / "tmp"

    def find(self, key: ArtifactKey, version: str) -> Artifact | None:
        """The artifact of that version if it was completely written, here or in the object store, else None.

        Raises:
            ArtifactError: a file of it is gone or has another size.
            StorageError: the object store cannot be used.
        """
        path = self.root / key.relative_path / version
        if not (path / MANIFEST).is_file() and not self._bring_manifest(key, version, path):
            return None
        artifact = read_artifact(path)
        if self.storage_url is not None:
            self._bring_files(artifact)
        return artifact.require_whole()

    def _bring_manifest(self, key: ArtifactKey, version: str, path: Path) -> bool:
        storage = self.storage
        content = None if storage is None else storage.manifest(key, version)
        if content is None:
            return False
        with folder_made(path, within=self._temporary) as folder:
            (folder / MANIFEST).write_bytes(content)
        return True

    def _bring_files(self, artifact: Artifact) -> None:
        for file in artifact.manifest.files:
            path = artifact.path / file.name
            if not path.exists() and self.storage is not None:
                self.storage.fetch(file, path)
        if self.cache_bytes is not None:
            os.utime(artifact.path / MANIFEST)  # when it was last used

    def keep(self, artifact: Artifact) -> None:
        """Put `artifact` into the object store, if there is one, and remove here what is too much by its setting.

        Raises:
            StorageError: the object store cannot be used.
        """
        storage = self.storage
        if storage is None:
            return
        storage.push(artifact)
        if self.cache_bytes is not None:
            self._trim(storage, self.cache_bytes)

    def is_stored(self, sha256: str, size: int) -> bool:
        """Whether the object store has a file of that content; all of it is read.

        Raises:
            StorageError: the object store cannot be used.
        """
        storage = self.storage
        return storage is not None and storage.is_intact(ArtifactFile(sha256, size, sha256))

    def _trim(self, storage: Storage, limit: int) -> None:
        """Manifests stay, so that everything is known that there is."""
        with in_use(self.root) as used:
            sizes = {}
            for artifact in self.all_versions():
                here = [path for file in artifact.manifest.files if (path := artifact.path / file.name).is_file()]
                last_used = (artifact.path / MANIFEST).stat().st_mtime
                sizes[last_used, artifact.path] = artifact, here, sum(path.stat().st_size for path in here)
            total = sum(size for _, _, size in sizes.values())
            for place in sorted(sizes):
                artifact, here, size = sizes[place]
                if total <= limit:
                    return
                if size and identity(artifact) not in used and storage.has(artifact.key, artifact.version):
                    for path in here:
                        path.unlink(missing_ok=True)
                    total -= size

    def current(self, key: ArtifactKey, run_id: str | None = None) -> Artifact:
        """The artifact that readers should use now: what run `run_id` published, else the newest published.

        Raises:
            MissingArtifactError: nothing was published yet, or the published version is gone from disk.
            ArtifactError: it is damaged.
        """
        base = self.root / key.relative_path
        pointers = [base / "runs" / run_id] if run_id else []
        for pointer in (*pointers, base / "CURRENT"):
            with contextlib.suppress(FileNotFoundError):
                version = _pointed_at(pointer)
                artifact = self.find(key, version)
                if artifact is None:
                    raise MissingArtifactError(
                        f"{key} version {version} is named by {pointer} but not on disk: materialise {key.asset} again"
                    )
                return artifact
        raise MissingArtifactError(f"{key} has not been made yet: materialise {key.asset} first")

    def input_of(self, artifact: Artifact, key: ArtifactKey) -> Artifact:
        """The version of `key` that `artifact` was made from.

        Raises:
            ArtifactError: it was not made from it, or that version is gone from disk.
        """
        version = artifact.manifest.inputs.get(str(key))
        if version is None:
            raise ArtifactError(f"{artifact.key} was not made from {key}: materialise {artifact.key.asset} again")
        found = self.find(key, version)
        if found is None:
            raise ArtifactError(
                f"{key} version {version} is gone from disk: materialise {key.asset} and {artifact.key.asset} again"
            )
        return found

    def publish(self, artifact: Artifact, run_id: str | None = None, *, aside: bool = False) -> None:
        """Make `artifact` the current one of its key (and, if given, the one that run `run_id` reads); `aside`, only that."""
        base = self.root / artifact.key.relative_path
        if run_id is not None:
            write_atomically(base / "runs" / run_id, artifact.version)
        if not aside:
            write_atomically(base / "CURRENT", artifact.version)

    def published(self, key: ArtifactKey, runs: Collection[str] = ()) -> set[str]:
        """Versions that readers use: the current one, and those that `runs` read."""
        base = self.root / key.relative_path
        found = set()
        for pointer in (base / "CURRENT", *(base / "runs" / run for run in runs)):
            with contextlib.suppress(FileNotFoundError):
                found.add(_pointed_at(pointer))
        return found

    def asides(self) -> set[str]:
        """Ids of the runs that published aside (their ids begin with `ASIDE`), as long as nobody forgets them."""
        return {pointer.name for pointer in self.root.rglob(f"runs/{ASIDE}*")}

    def forget_runs(self, but: Collection[str], before: float) -> int:
        """Remove what says which versions ended runs read, written before a Unix time, but of runs `but`; how many."""
        removed = 0
        for folder, folders, files in os.walk(self.root):
            if MANIFEST in files:
                folders.clear()
            elif Path(folder).name == "runs":
                for pointer in (Path(folder) / name for name in files if name not in but):
                    with contextlib.suppress(FileNotFoundError):
                        if pointer.stat().st_mtime < before:
                            pointer.unlink()
                            removed += 1
        return removed

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
            if _pointed_at(base / "CURRENT") == artifact.version:
                raise ArtifactError(f"{artifact.key} version {artifact.version} is current and cannot be removed")
        if self.storage is not None:
            self.storage.remove(artifact.key, artifact.version)
        remove_folder(artifact.path, within=self._temporary)
        for pointer in (base / "runs").glob("*"):
            if _pointed_at(pointer) == artifact.version:
                pointer.unlink(missing_ok=True)

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
        final = self.root / key.relative_path / version
        scratch = self.root.parent / "scratch" / key.relative_path / version
        try:
            with folder_made(final, within=self._temporary) as directory:
                writer = ArtifactWriter(directory, final, scratch)
                yield writer
                manifest = Manifest(
                    asset=key.asset,
                    partition=key.partition,
                    version=version,
                    code_version=code_version,
                    inputs=dict(inputs),
                    parameters=dict(parameters),
                    created_at=dt.datetime.now(dt.UTC).isoformat(),
                    files=list_files(directory),
                    summary=writer.summary,
                )
                content = json.dumps(dataclasses.asdict(manifest), indent=2, sort_keys=True, allow_nan=False)
                (directory / MANIFEST).write_text(content, encoding="utf-8")
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise ArtifactError(
                    f"no space left on the disk of {self.root} while writing {key}: free some space "
                    f"(`gotd gc` lists artifacts nothing depends on) and materialise {key.asset} again; "
                    "earlier versions are untouched"
                ) from error
            raise
        writer.artifact = read_artifact(final)
        shutil.rmtree(scratch, ignore_errors=True)

    def sweep(self) -> int:
        """Remove temporary directories whose writer is dead (killed steps); return how many."""
        return sweep(self._temporary)


def _pointed_at(pointer: Path) -> str:
    version = pointer.read_text(encoding="utf-8", errors="replace").strip()
    if not _VERSION.fullmatch(version):
        raise ArtifactError(
            f"{pointer} does not name a version: it was damaged; remove it and materialise {pointer.parent} again"
        )
    return version
