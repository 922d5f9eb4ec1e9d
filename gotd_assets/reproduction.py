"""Making a recorded artifact again, beside the project's own: what must stand before, and what must be equal after."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from gotd_assets.conditions import TORCH_THREADS
from gotd_assets.errors import ArtifactError, InputError
from gotd_assets.fingerprint import file_sha256
from gotd_assets.storage import Artifact, ArtifactKey, ArtifactStore

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
        )


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing that is not as recorded: which artifact, and a sentence."""

    artifact: str
    sentence: str


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
    """Put a live artifact of the record into `scratch`, if it stands and every byte is as recorded.

    Raises:
        ArtifactError: it stands, but was altered.
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


def differences(record: Sequence[Recorded], scratch: ArtifactStore, exact: Collection[str]) -> list[Difference]:
    """Where what stands in `scratch` is not what was recorded, inputs before outputs.

    Versions are compared for every artifact (they cover parameters, code and inputs), bytes for those of the assets in
    `exact`.
    """
    found = []
    for made in record:
        try:
            artifact = scratch.current(made.key)
        except ArtifactError:
            continue
        if artifact.version != made.version:
            found += [Difference(str(made.key), sentence) for sentence in _causes(made, artifact)]
        elif made.key.asset in exact:
            found += [Difference(str(made.key), sentence) for sentence in _unequal_files(made, artifact)]
    return found


def _causes(made: Recorded, artifact: Artifact) -> list[str]:
    now = artifact.manifest
    causes = []
    if now.code_version != made.code_version:
        causes.append(f"made by code version {made.code_version}, now {now.code_version}")
    for name in sorted(made.parameters.keys() | now.parameters.keys()):
        before, after = made.parameters.get(name), now.parameters.get(name)
        if before != after:
            causes.append(f"parameter {name} was {before}, now {after}")
    for name in sorted(made.inputs.keys() | dict(now.inputs).keys()):
        before, after = made.inputs.get(name), now.inputs.get(name)
        if before != after:
            causes.append(f"input {name} was {before or 'not there'}, now {after or 'not there'}")
    return causes


def _unequal_files(made: Recorded, artifact: Artifact) -> list[str]:
    found = {file.name: (file.size, file.sha256) for file in artifact.manifest.files}
    sentences = [f"{name} is missing" for name in sorted(made.files.keys() - found.keys())]
    sentences += [f"{name} was not there" for name in sorted(found.keys() - made.files.keys())]
    sentences += [
        f"{name}: sha256 {found[name][1][:16]}… ({found[name][0]:,} bytes) instead of {sha256[:16]}… ({size:,} bytes)"
        for name, (size, sha256) in sorted(made.files.items())
        if name in found and found[name] != (size, sha256)
    ]
    return sentences


def changed_surroundings(
    record: Sequence[Recorded], packages: Mapping[str, str], conditions: Mapping[str, str]
) -> list[str]:
    """What is another now beside versions, a sentence each: packages, processor, platform, settings outside versions.

    Args:
        record: what was made again.
        packages: those installed now.
        conditions: those of now. The number of torch's threads is not compared: it was taken from the record.
    """
    found = []
    for made in record:
        for package in sorted(made.packages.keys() | packages.keys()):
            before, now = made.packages.get(package, "absent"), packages.get(package, "absent")
            if before != now:
                found.append(f"package {package} was {before}, now {now}")
        for name in sorted((made.conditions.keys() & conditions.keys()) - {TORCH_THREADS}):
            if made.conditions[name] != conditions[name]:
                found.append(f"{name} was {made.conditions[name]}, now {conditions[name]}")
    found = list(dict.fromkeys(found))
    lacking = [str(made.key) for made in record if not made.conditions]
    if lacking:
        found.append(f"not on record, so perhaps another: processor and number of threads of {', '.join(lacking)}")
    return found


def first_difference(recorded: Path, rebuilt: Path) -> str | None:
    """Row and column in which two Parquet files begin to differ; None if their tables are equal."""
    import polars as pl

    before, after = pl.read_parquet(recorded), pl.read_parquet(rebuilt)
    if before.columns != after.columns:
        return f"columns were {', '.join(before.columns)}, now {', '.join(after.columns)}"
    if before.height != after.height:
        return f"{before.height:,} rows, now {after.height:,}"
    unequal = pl.DataFrame([before[name].ne_missing(after[name]).alias(name) for name in before.columns])
    rows = unequal.select(pl.any_horizontal(pl.all())).to_series().arg_true()
    if not len(rows):
        return None
    row = int(rows[0])
    column = next(name for name in before.columns if unequal[name][row])
    return (
        f"{len(rows):,} rows differ; first row {row + 1}, {column}: {before[column][row]!r}, now {after[column][row]!r}"
    )


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
