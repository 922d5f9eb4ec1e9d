"""How a rebuilt artifact differs from its record, and what may be the cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.conditions import TORCH_THREADS
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError
from gotd_assets.reproduction.record import Recorded


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing that is not as recorded: which artifact, and a sentence."""

    artifact: str
    sentence: str


def differences(record: Sequence[Recorded], scratch: ArtifactStore, exact: Collection[str]) -> list[Difference]:
    """Where what is in `scratch` is not what was recorded, inputs before outputs.

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

    before, after = read_parquet(recorded), read_parquet(rebuilt)
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
