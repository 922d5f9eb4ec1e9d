"""One way for every asset to read what it needs, make its artifact once, and record it."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from gotd_assets.conditions import current_conditions, installed_packages
from gotd_assets.defs import columns, tags
from gotd_assets.defs.checks.check import Check
from gotd_assets.defs.checks.registry import CHECKS
from gotd_assets.defs.placement import Placement
from gotd_assets.errors import ArtifactError, CheckError, GotdError
from gotd_assets.fingerprint import Json
from gotd_assets.planning import Planned
from gotd_assets.quality import Finding
from gotd_assets.storage import Artifact, ArtifactKey, ArtifactWriter, artifact_version

if TYPE_CHECKING:
    from gotd_assets.corpus import RemoteFiles
    from gotd_assets.embedding.estimate import EmbeddingEstimate
    from gotd_assets.lineage import Materialisation, SourceFile
    from gotd_assets.settings import Project
    from gotd_assets.training.forecast import TrainingEstimate

# Dagster takes the plain class for "the asset and its checks"; with a parameter it would mean one output alone.
if TYPE_CHECKING:
    Made: TypeAlias = dg.MaterializeResult[None]
else:
    Made = dg.MaterializeResult
OWNERS = ["team:data-selection"]
SECONDS_BETWEEN_LOG_LINES = 5.0
SECONDS_BETWEEN_OBSERVATIONS = 60.0


class Station:
    """The work of one asset in one partition of one run."""

    def __init__(self, context: dg.AssetExecutionContext, placement: Placement, partition: str | None) -> None:
        self.context = context
        self.placement = placement
        self.project: Project = placement.load()
        self.store = placement.artifacts()
        self.run_id = context.run.run_id
        self.plan = placement.plan
        self.key = ArtifactKey(context.asset_key.path[-1], partition)
        self._inputs: dict[str, str] = {}
        self._last_line = 0.0
        self._last_observation = time.monotonic()
        self._making_seconds: float | None = None
        tags.add(context, tags.of_partition(self.key.asset, partition))

    def read(self, asset: str, partition: str | None = None) -> Artifact:
        """The current artifact of `asset`; its version becomes an input of what this station makes."""
        key = ArtifactKey(asset, partition)
        artifact = self.plan.read(self.store, key) if self.plan else self.store.current(key, self.run_id)
        self._inputs[str(artifact.key)] = artifact.version
        if asset == "selected_subset" and partition == self.key.partition:
            tags.add(self.context, {tags.SELECTION_VERSION: artifact.version})
        return artifact

    def standing(self) -> Artifact | None:
        """What this station made before and is current until now; it is not an input."""
        try:
            return self.store.current(self.key)
        except ArtifactError:
            return None

    def read_all(self, asset: str, partitions: Iterable[str]) -> dict[str, Artifact]:
        """The current artifacts of `asset` by partition, in the order given."""
        return {partition: self.read(asset, partition) for partition in partitions}

    def forgotten(self) -> list[str]:
        """doc_ids that nothing made from now on may hold, in order."""
        return self.placement.lineage().forgotten_documents().get_column("doc_id").sort().to_list()

    def depend_on(self, inputs: Mapping[str, str]) -> None:
        """Add inputs that are not artifacts, such as files by checksum or a model by version."""
        self._inputs.update(inputs)

    def log(self, line: str, *, always: bool = False) -> None:
        """Show progress in the run's log, at most one line every few seconds unless `always`."""
        now = time.monotonic()
        if always or now - self._last_line >= SECONDS_BETWEEN_LOG_LINES:
            self._last_line = now
            self.context.log.info(line)

    def make(
        self,
        parameters: Mapping[str, Json],
        write: Callable[[ArtifactWriter, Path], None],
        describe: Callable[[Artifact], Mapping[str, Any]],
        record: Callable[[Artifact, Materialisation], Materialisation] | None = None,
    ) -> dg.MaterializeResult[None]:
        """Make the artifact unless its version stands already, record it in lineage, publish it, and describe it.

        Args:
            parameters: every setting that shapes the content.
            write: fills the writer's folder and summary; its second argument is a scratch folder that survives a
                crash of this step and is handed to the next attempt at the same version.
            describe: metadata for people, from the finished artifact.
            record: adds to the lineage record what only this station knows (members, training runs).
        """
        from gotd_assets.lineage import Materialisation

        code_version = self._code_version()
        if self.plan is not None:
            return self._planned(self.plan.add(self.store, self.key, code_version, self._inputs, parameters))
        version = artifact_version(self.key.asset, code_version, self._inputs, parameters)
        artifact = self.store.find(self.key, version)
        reused = artifact is not None
        started = time.monotonic()
        if artifact is None:
            self.store.sweep()
            scratch = self.store.scratch(self.key, version)
            with self.store.write(
                self.key, version, code_version=code_version, inputs=self._inputs, parameters=parameters
            ) as writer:
                write(writer, scratch)
                self._making_seconds = time.monotonic() - started
            artifact = writer.artifact
            if artifact is None:
                raise RuntimeError(f"{self.key} was written but cannot be opened")
            self.store.discard_scratch(self.key, version)
        else:
            self.log(f"{self.key} version {version} stands already; nothing to do", always=True)
        checked = self._check(artifact)
        materialisation = Materialisation.of(
            artifact,
            run_id=self.run_id,
            step=self.context.op_execution_context.get_step_execution_context().step.key,
            reused=reused,
            packages=installed_packages(),
            conditions=current_conditions(self.project.settings),
        )
        if record is not None:
            materialisation = record(artifact, materialisation)
        self.placement.lineage().record(materialisation)
        self.store.publish(artifact, self.run_id)
        if self.key.asset == "selected_subset":
            tags.add(self.context, {tags.SELECTION_VERSION: artifact.version})
        if self.key.asset == "pre_fine_tuned_model" and not reused:
            tags.add(self.context, {tags.MODEL_VERSION: artifact.version})
        return dg.MaterializeResult(
            data_version=dg.DataVersion(artifact.version),
            check_results=[
                dg.AssetCheckResult(
                    check_name=check.name,
                    passed=finding.passed,
                    severity=_severity(check),
                    description=finding.sentence,
                    metadata=self._figures(finding),
                )
                for check, finding in checked
            ],
            # What an artifact says of itself comes first, and its own seconds are those that it took to make.
            metadata={
                **(described := describe(artifact)),
                **{
                    name: value
                    for name, value in self._facts(artifact, reused, started).items()
                    if name not in described
                },
            },
        )

    def _facts(self, artifact: Artifact, reused: bool, started: float) -> dict[str, Any]:
        return {
            "version": artifact.version,
            "reused": reused,
            "folder": dg.MetadataValue.path(artifact.path),
            "seconds": round(time.monotonic() - started, 2),
            **columns.described(artifact, self.context.asset_key.path[:-1]),
        }

    def _planned(self, entry: Planned) -> dg.MaterializeResult[None]:
        """In a dry run: say what would be done; the instance that sees this result is thrown away."""
        reasons = f": {'; '.join(entry.reasons)}" if entry.reasons else ""
        self.log(f"{entry.verdict}{reasons}", always=True)
        checks = CHECKS.get(self.key.asset, ())
        return dg.MaterializeResult(
            check_results=[dg.AssetCheckResult(check_name=check.name, passed=True) for check in checks]
        )

    def _check(self, artifact: Artifact) -> list[tuple[Check, Finding]]:
        """Evaluate every check of the artifact.

        Raises:
            CheckError: a blocking one failed. The artifact stays on disk, but is neither published nor counted as
                materialised, so that no step reads it, in this run or in another.
        """
        found = [(check, self._evaluated(check, artifact)) for check in CHECKS.get(self.key.asset, ())]
        blocked = [(check, finding) for check, finding in found if check.blocking and not finding.passed]
        for check, finding in found:
            if not finding.passed:
                self.context.log.warning(f"check {check.name} failed: {finding.sentence}")
        if not blocked:
            return found
        for check, finding in found:
            self.context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=self.context.asset_key,
                    check_name=check.name,
                    passed=finding.passed,
                    severity=_severity(check),
                    description=finding.sentence,
                    metadata=self._figures(finding),
                    blocking=check.blocking,
                )
            )
        sentences = "; ".join(f"{check.name}: {finding.sentence}" for check, finding in blocked)
        raise CheckError(f"{self.key} version {artifact.version} is held back by its checks. {sentences}")

    def _evaluated(self, check: Check, artifact: Artifact) -> Finding:
        try:
            return check.evaluate(self, artifact)
        except (GotdError, OSError) as error:
            return Finding(passed=False, sentence=f"could not be checked: {error}")

    def _figures(self, finding: Finding) -> dict[str, dg.MetadataValue[Any]]:
        partition = {"partition": self.key.partition} if self.key.partition else {}
        figures = {
            key: value for key, value in finding.figures.items() if not (isinstance(value, float) and math.isnan(value))
        }
        return _as_metadata({**partition, **figures})

    def pace(self, documents: int) -> dict[str, float]:
        """Documents per second as metadata; nothing if the artifact stood already."""
        if self._making_seconds is None:
            return {}
        return {"documents_per_second": round(documents / max(self._making_seconds, 1e-9), 1)}

    @functools.cached_property
    def remote(self) -> RemoteFiles:
        """Files behind URLs, the same for all that this step does with them."""
        from gotd_assets.corpus import RemoteFiles

        return RemoteFiles(self.project.home / "cache" / "remote", self.show)

    def source_files(self, checksums: Mapping[str, str]) -> list[SourceFile]:
        """The user's files by name, with size, for lineage."""
        from gotd_assets.lineage import SourceFile

        return [
            SourceFile(name, self.remote.local(name, self.project.root).stat().st_size, checksum)
            for name, checksum in checksums.items()
        ]

    def announce(self, estimate: EmbeddingEstimate | TrainingEstimate | None, writer: ArtifactWriter) -> None:
        """Say how long a step will take, in the log and in the artifact's summary."""
        if estimate is not None:
            self.log(str(estimate), always=True)
            writer.summary.update(estimate.as_summary())

    @property
    def show(self) -> Callable[[object], None]:
        """A progress callback for rooms: what they report, as a line in the log every few seconds.

        In a long step also as an observation of the asset every minute, so that its page shows how far it is.
        """

        def show(progress: object) -> None:
            self.log(str(progress))
            now = time.monotonic()
            if now - self._last_observation >= SECONDS_BETWEEN_OBSERVATIONS:
                self._last_observation = now
                self._observe(progress)

        return show

    def _observe(self, progress: object) -> None:
        """Put `progress` on the asset's page now; what a step logs as an event of its own appears when it has ended."""
        fields: dict[str, object] = {}
        if dataclasses.is_dataclass(progress) and not isinstance(progress, type):
            fields = dataclasses.asdict(progress)
        self.context.instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=self.context.asset_key,
                partition=self.context.partition_key if self.context.has_partition_key else None,
                description=str(progress),
                metadata={
                    "progress": str(progress),
                    "run": dg.MetadataValue.dagster_run(self.run_id),
                    **{name: value for name, value in fields.items() if isinstance(value, int | float)},
                },
            )
        )

    def _code_version(self) -> str:
        version: str | None = self.context.assets_def.code_versions_by_key[self.context.asset_key]
        if version is None:
            raise RuntimeError(f"asset {self.context.asset_key.to_user_string()} declares no code version")
        return version


def _severity(check: Check) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN


def _as_metadata(figures: Mapping[str, float | int | str]) -> dict[str, dg.MetadataValue[Any]]:
    return {key: _metadata_value(value) for key, value in figures.items()}


def _metadata_value(value: float | str) -> dg.MetadataValue[Any]:
    match value:
        case int():
            return dg.MetadataValue.int(value)
        case float():
            return dg.MetadataValue.float(float(f"{value:.6g}"))
        case _:
            return dg.MetadataValue.text(value)
