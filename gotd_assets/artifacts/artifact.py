"""An artifact and its manifest: what it is, what it was made of, which files it has."""

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

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

    def copy_files(self, names: Sequence[str], folder: Path) -> list[Path]:
        """Copy its files `names` to `folder`, made if missing; their new places."""
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy2(self.path / name, folder / name)) for name in names]

    def json(self, name: str) -> dict[str, Any]:
        """Content of the data file `name`, an object in JSON.

        Raises:
            ArtifactError: the manifest lists no such file, or it was altered.
        """
        try:
            content: dict[str, Any] = json.loads(self.file(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._damaged(f"{self.path / name} cannot be read: {error}") from error
        return content

    def require_whole(self) -> Self:
        """This artifact, if every file is there in its recorded size.

        Raises:
            ArtifactError: one is not.
        """
        for file in self.manifest.files:
            path = self.path / file.name
            try:
                size = path.stat().st_size
            except OSError as error:
                raise self._damaged(f"{path} cannot be read: {error}") from error
            if size != file.size:
                raise self._damaged(f"{path} has {size} bytes, {file.size} were recorded")
        return self

    def _damaged(self, what: str) -> ArtifactError:
        return ArtifactError(
            f"{what}. {self.key} version {self.version} was damaged after it was made: bring the file back from a backup, or "
            f"remove the folder {self.path} and materialise {self.key.asset} again; `gotd verify` finds what else is damaged"
        )

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


def artifact_version(asset: str, code_version: str, inputs: Mapping[str, str], parameters: Mapping[str, Json]) -> str:
    """Version of an artifact made by `asset` at `code_version` from `inputs` (name to version) with `parameters`."""
    return fingerprint({"asset": asset, "code": code_version, "inputs": inputs, "parameters": parameters})


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


def list_files(directory: Path) -> tuple[ArtifactFile, ...]:
    """Every file below `directory`, by name, with size and checksum."""
    return tuple(
        ArtifactFile(str(path.relative_to(directory)), path.stat().st_size, file_sha256(path))
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    )
