"""Making a recorded artifact again, beside the project's own: what must stand before, and what must be equal after."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError, InputError
from gotd_assets.fingerprint import file_sha256

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What lineage says about one artifact.

    Attributes:
        key: asset and partition.
        version: hash of inputs, parameters and code version.
        code_version: of the station.
        parameters: what shaped the content.
        inputs: version by name.
        files: (size, sha256) by name.
        source_files: (size, sha256) of the user's files by path, relative to the project.
        packages: version by package, at the first making.
        conditions: value by name, when the recorded bytes came out; empty for records of the first release.
        settings: the whole settings it was made with, without secrets; None for records made before they were kept.
    """

    key: ArtifactKey
    version: str
    code_version: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    files: Mapping[str, tuple[int, str]]
    source_files: Mapping[str, tuple[int, str]]
    packages: Mapping[str, str]
    conditions: Mapping[str, str]
    settings: Mapping[str, Any] | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a row of `LineageStore.reproduction_record`."""
        return cls(
            key=ArtifactKey(row["asset"], row["partition"]),
            version=row["version"],
            code_version=row["code_version"],
            parameters=row["parameters"],
            inputs=row["inputs"],
            files={file["name"]: (file["size"], file["sha256"]) for file in row["files"]},
            source_files={file["path"]: (file["size"], file["sha256"]) for file in row["source_files"]},
            packages=row["packages"],
            conditions=row["conditions"],
            settings=row["settings"],
        )


def check_source_files(record: Sequence[Recorded], root: Path) -> None:
    """Refuse to begin when the user's files are not those of the record.

    Files behind URLs are fetched and compared by the stations that read them.

    Raises:
        InputError: files are gone or changed; all are named, and what to do.
    """
    wrong = []
    for name, (size, sha256) in {path: what for made in record for path, what in made.source_files.items()}.items():
        if "://" in name:
            continue
        path = root / name
        if not path.is_file():
            wrong.append(f"{name} is gone")
        elif path.stat().st_size != size or file_sha256(path) != sha256:
            wrong.append(f"{name} has changed (recorded: {size:,} bytes, sha256 {sha256[:16]}…)")
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InputError(
            f"it cannot be made again from other files: {'; '.join(wrong[:_SHOWN])}{more}. Put the files of that time "
            "back, or name a folder in which they stand as they did with --files"
        )


def reuse(made: Recorded, live: ArtifactStore, scratch: ArtifactStore) -> bool:
    """Put a live artifact of the record into `scratch`, if it is still there and every byte is as recorded.

    Raises:
        ArtifactError: it is there, but was altered.
    """
    artifact = live.find(made.key, made.version)
    if artifact is None:
        return False
    _refuse_altered(made, artifact)
    target = scratch.root / made.key.relative_path / made.version
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(artifact.path, target, copy_function=_link)
    return True


def seed_start(made: Recorded, live: ArtifactStore, scratch: ArtifactStore) -> str | None:
    """Let a solve start in `scratch` where the recorded one started; what is missing for that, in a sentence.

    A warm start shapes a solution within its tolerance, so the same bytes come only from the same start.
    """
    artifact = live.find(made.key, made.version)
    if artifact is None:
        return f"{made.key} version {made.version} is no longer on disk, so it is unknown whether its solve began warm"
    started_from = artifact.manifest.summary.get("started_from")
    if not isinstance(started_from, str):
        return None
    earlier = live.find(made.key, started_from)
    if earlier is None:
        return f"the solve of {made.key} began at the potentials of version {started_from}, which are gone"
    target = scratch.root / made.key.relative_path / started_from
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(earlier.path, target, copy_function=_link)
    scratch.publish(earlier)
    return None


def _refuse_altered(made: Recorded, artifact: Artifact) -> None:
    for name, (size, sha256) in made.files.items():
        path = artifact.path / name
        if not path.is_file() or path.stat().st_size != size or file_sha256(path) != sha256:
            raise ArtifactError(
                f"{path} is not as recorded, so it cannot be reused: run with --all to make everything again"
            )


def _link(source: str, target: str) -> str:
    """A second name for a file that is never written to; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
