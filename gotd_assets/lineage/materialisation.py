"""What a station tells the lineage store when it has made, or found already made, an artifact."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from gotd_assets.artifacts.artifact import Artifact, ArtifactFile, ArtifactKey
from gotd_assets.errors import LineageError
from gotd_assets.fingerprint import Json, fingerprint

Table: TypeAlias = pl.DataFrame | Path | Sequence[Path]
"""Rows of documents: a frame in memory, or Parquet files that DuckDB reads without loading them whole."""


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A file of the user's that an artifact was read from: `path`, `size` in bytes, `sha256` in hex."""

    path: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Training:
    """A training run: its MLflow run and tracking URI, the selection it read, the model it started from, its seed."""

    mlflow_run_id: str
    tracking_uri: str | None = None
    selection_version: str | None = None
    base_model: str | None = None
    seed: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Materialisation:
    """One materialisation of one artifact.

    Attributes:
        asset: name of the asset.
        partition: partition key, or None.
        version: the artifact's version.
        code_version: version of the station's code.
        parameters: the settings that shaped the content, seeds included.
        inputs: version of every input by its name, 'asset[partition]' for what this project makes.
        files: the artifact's files with size and checksum.
        summary: counts and figures worth showing.
        path: the artifact's folder, for verification.
        created_at: when this materialisation happened; a naive time is taken for UTC.
        run_id: Dagster run, None outside Dagster.
        step: Dagster step key.
        reused: the artifact was there already and nothing was computed.
        packages: version of every installed package that matters, by name.
        conditions: what else can change bytes, by name: threads, processor, platform, settings that stand in no version.
        settings: the whole settings it was made with, without secrets.
        source_files: the user's files the artifact was read from.
        documents: candidates: doc_id, source, origin.
        examples: texts of a target, and labelled ones, which are no candidates: doc_id, source, origin.
        members: of a selection: doc_id, source, origin, rank (from 1), score (may be null).
        scores: of every candidate, selected or not: doc_id, score.
        best_scores: whether the lowest or the highest score is selected first.
        exclusions: documents left out on purpose: doc_id, reason, matched_doc_id (may be null).
        training: for models, the run that trained it.

    Raises:
        LineageError: a name or version is empty, or a parameter is NaN or infinite.
    """

    asset: str
    version: str
    code_version: str
    partition: str | None = None
    parameters: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Sequence[ArtifactFile] = ()
    summary: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    path: Path | None = None
    created_at: dt.datetime = dataclasses.field(default_factory=lambda: dt.datetime.now(dt.UTC))
    run_id: str | None = None
    step: str | None = None
    reused: bool = False
    packages: Mapping[str, str] = dataclasses.field(default_factory=dict)
    conditions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    source_files: Sequence[SourceFile] = ()
    documents: Table | None = None
    examples: Table | None = None
    members: Table | None = None
    scores: Table | None = None
    best_scores: Literal["lowest", "highest"] = "lowest"
    exclusions: Table | None = None
    training: Training | None = None

    def __post_init__(self) -> None:
        for field in ("asset", "version", "code_version"):
            if not getattr(self, field):
                raise LineageError(f"a materialisation needs its {field}; it was empty ({self.name} {self.version})")
        for name, version in self.inputs.items():
            if not name or not version:
                raise LineageError(
                    f"{self.name} {self.version}: input {name!r} has version {version!r}; both are needed"
                )
        for field in ("parameters", "summary", "settings"):
            try:
                fingerprint(getattr(self, field))
            except (TypeError, ValueError) as error:
                raise LineageError(f"{self.name} {self.version}: {field} cannot be written as JSON: {error}") from error

    @property
    def name(self) -> str:
        """'asset' or 'asset[partition]', as inputs name it."""
        return str(ArtifactKey(self.asset, self.partition))

    @property
    def event_key(self) -> str:
        """Identity of this event: recording it twice is recording it once."""
        return fingerprint([self.name, self.version, _utc(self.created_at).isoformat(), self.run_id, self.step])

    @property
    def created_at_utc(self) -> dt.datetime:
        """`created_at` in UTC, without time zone."""
        return _utc(self.created_at)

    @classmethod
    def of(cls, artifact: Artifact) -> Materialisation:
        """The materialisation of `artifact`, now: what its manifest says; the rest comes by `dataclasses.replace`."""
        manifest = artifact.manifest
        return cls(
            asset=manifest.asset,
            partition=manifest.partition,
            version=manifest.version,
            code_version=manifest.code_version,
            parameters=manifest.parameters,
            inputs=manifest.inputs,
            files=manifest.files,
            summary=manifest.summary,
            path=artifact.path,
        )


def _utc(time: dt.datetime) -> dt.datetime:
    return time if time.tzinfo is None else time.astimezone(dt.UTC).replace(tzinfo=None)
