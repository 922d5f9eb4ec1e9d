"""A station as a Dagster asset."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.catalogue.columns import columns_of
from gotd_assets.catalogue.foreign import markdown, visible
from gotd_assets.catalogue.shown import Details, Link, Markdown, Shown
from gotd_assets.catalogue.tables import in_page
from gotd_assets.checks.check import Evaluated, HeldBackError
from gotd_assets.pipeline import resources, tags
from gotd_assets.pipeline.automation.conditions import condition_of
from gotd_assets.pipeline.checks import check_specs, severity_of
from gotd_assets.pipeline.launchpad import launchpad_of, overrides_of
from gotd_assets.pipeline.own_assets import dependencies, with_rows
from gotd_assets.pipeline.partitions import partition_of
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.runs.run_log import RunLog
from gotd_assets.pipeline.sentences import step_errors_as_sentences
from gotd_assets.stations.carry_out import Outcome, carry_out
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.reads import Each, One
from gotd_assets.stations.station import Station
from gotd_assets.stations.work import Work

# Dagster takes the plain class for "the asset and its checks"; with a parameter it would mean one output alone.
if TYPE_CHECKING:
    Result: TypeAlias = dg.MaterializeResult[None]
else:
    Result = dg.MaterializeResult
OWNERS = ["team:data-selection"]


def build_asset(station: Station, placement: Placement) -> dg.AssetsDefinition:
    """The asset of `station` in the pipeline at `placement`."""
    orchestration = placement.declared.settings.orchestration
    return dg.asset(
        key=placement.key(station.name),
        description=inspect.cleandoc(station.description),
        partitions_def=placement.partitions.of(station.division),
        deps=_dependencies(station, placement),
        group_name=placement.group(station.group),
        kinds=set(station.kinds),
        check_specs=check_specs(station, placement),
        owners=OWNERS,
        code_version=station.code_version,
        pool=placement.pool if station.is_heavy else None,
        automation_condition=condition_of(station, placement),
        op_tags=orchestration.op_tags.get(station.name),
        required_resource_keys=resources.required(placement) | _cluster(station, placement),
        freshness_policy=_freshness(orchestration.freshness_hours.get(station.name)),
    )(_compute(station, placement))


def _cluster(station: Station, placement: Placement) -> set[str]:
    """Keys of the resources that connect the station's steps to a Ray cluster."""
    return placement.cluster if station.is_heavy or station.has_workers else set()


def _freshness(hours: float | None) -> dg.FreshnessPolicy | None:
    return None if hours is None else dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=hours))


def _compute(station: Station, placement: Placement) -> Callable[..., Result]:
    """The step, with a form in the launchpad where something can be set."""
    settings = placement.declared.settings
    launchpad = launchpad_of(station, settings)

    def run(context: dg.AssetExecutionContext, overrides: Mapping[str, object]) -> Result:
        def warn(line: str) -> None:
            context.log.warning(visible(line, keep="\n"))

        with step_errors_as_sentences(context, settings.orchestration, warn):
            return _Step(context, placement, station, overrides).run()

    def plain(context: dg.AssetExecutionContext) -> Result:
        return run(context, {})

    def configured(context: dg.AssetExecutionContext, config: dg.Config) -> Result:
        return run(context, overrides_of(station, config))

    # As this file's annotations are text, Dagster is handed what they mean.
    types = {"context": dg.AssetExecutionContext, "return": Result}
    plain.__annotations__ = types
    configured.__annotations__ = types | {"config": launchpad}
    return plain if launchpad is None else configured


def _dependencies(station: Station, placement: Placement) -> list[dg.AssetDep]:
    """What the station reads, as edges of the graph: one for each asset, whatever the partitions.

    What it reads and what else it reads was made of has no edge, which would cross the others; lineage has them all. An
    asset whose change makes the station due keeps its own. What is optional has none: Dagster would wait for it.
    """
    settings = placement.declared.settings
    read: dict[str, One | Each] = {}
    for one in station.reads:
        if one.when(settings) and not one.optional:
            read.setdefault(one.asset, one)
    kept = {station.follows.asset(settings)} if station.follows is not None else set()
    behind = {asset for name in read for asset in placement.graph.made_of(name, settings)}
    return [
        dg.AssetDep(placement.key(asset), partition_mapping=_mapping(station, one, placement))
        for asset, one in read.items()
        if asset in kept or asset not in behind
    ] + dependencies(placement, station)


def _mapping(station: Station, read: One | Each, placement: Placement) -> dg.PartitionMapping | None:
    """How partitions belong together where Dagster cannot tell by itself."""
    if read.targets is not None:
        return dg.SpecificPartitionsPartitionMapping(read.targets(placement.declared.settings, Partition()))
    by_source = placement.graph.named(read.asset).division == "source"
    return dg.AllPartitionMapping() if by_source and station.division != "source" else None


class _Step(RunLog):
    """The work of one asset in one partition of one Dagster run."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        placement: Placement,
        station: Station,
        overrides: Mapping[str, object],
    ) -> None:
        super().__init__(context)
        self._placement = placement
        self._station = station
        self._started = time.monotonic()
        partition = partition_of(context, station.division)
        self._partition = partition
        run_id = context.run.run_id
        project = resources.applied(
            placement.load(), resources.given(context, resources.required(placement))
        ).overridden(overrides)
        if partition.source is not None:
            project = with_rows(project, partition.source, context)
        self._work = Work(
            project,
            station.name,
            partition,
            placement.graph.reads(station, partition, project.settings),
            read=self._read,
            journal=self,
            run_id=run_id,
            origin={
                "dagster.run_id": run_id,
                "dagster.asset_key": context.asset_key.to_user_string(),
                **({"dagster.partition": context.partition_key} if context.has_partition_key else {}),
            },
        )
        tags.add(context, {**tags.of_partition(partition), tags.SETTINGS: placement.settings_fingerprint})

    def run(self) -> Result:
        """Make the artifact."""
        step = self._context.op_execution_context.get_step_execution_context().step.key
        try:
            outcome = carry_out(self._station, self._work, step=step)
        except HeldBackError as error:
            self._log_held_back(error.evaluated)
            raise
        for one in outcome.evaluated:
            if not one.finding.passed:
                self.warn(f"check {one.check.name} failed: {one.finding.sentence}")
        tag = self._station.version_tag
        if tag is not None and not (tag.only_new and outcome.made.reused):
            tags.add(self._context, {tag.name: outcome.artifact.version})
        return dg.MaterializeResult(
            data_version=dg.DataVersion(outcome.artifact.version),
            check_results=[
                dg.AssetCheckResult(
                    check_name=one.check.name,
                    passed=one.finding.passed,
                    severity=severity_of(one.check),
                    description=one.finding.sentence,
                    metadata=self._figures(one),
                )
                for one in outcome.evaluated
            ],
            metadata=self._metadata(outcome),
        )

    def observe(self, progress: object) -> None:
        """Put `progress` on the asset's page now; what a step logs as an event of its own appears when it has ended."""
        fields: dict[str, object] = {}
        if dataclasses.is_dataclass(progress) and not isinstance(progress, type):
            fields = dataclasses.asdict(progress)
        self._context.instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=self._context.asset_key,
                partition=self._context.partition_key if self._context.has_partition_key else None,
                description=str(progress),
                metadata={
                    "progress": str(progress),
                    "run": dg.MetadataValue.dagster_run(self._context.run.run_id),
                    **{name: value for name, value in fields.items() if isinstance(value, int | float)},
                },
            )
        )

    def _read(self, key: ArtifactKey) -> Artifact:
        """The artifact that this run is to read."""
        artifact = self._work.store.current(key, self._work.run_id)
        tag = self._placement.graph.named(key.asset).version_tag
        if tag is not None and not tag.only_new and key.partition == self._partition.name:
            tags.add(self._context, {tag.name: artifact.version})
        return artifact

    def _log_held_back(self, evaluated: Sequence[Evaluated]) -> None:
        """Show what the checks found, though the asset does not count as materialised."""
        for one in evaluated:
            if not one.finding.passed:
                self.warn(f"check {one.check.name} failed: {one.finding.sentence}")
            self._context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=self._context.asset_key,
                    check_name=one.check.name,
                    passed=one.finding.passed,
                    severity=severity_of(one.check),
                    description=one.finding.sentence,
                    metadata=self._figures(one),
                    blocking=one.check.blocking,
                    partition=self._context.partition_key if self._context.has_partition_key else None,
                )
            )

    def _figures(self, one: Evaluated) -> dict[str, dg.MetadataValue[Any]]:
        partition = {"partition": self._partition.name} if self._partition.name else {}
        figures = {
            key: value
            for key, value in one.finding.figures.items()
            if not (isinstance(value, float) and math.isnan(value))
        }
        return {key: metadata_value(value) for key, value in {**partition, **figures}.items()}

    def _metadata(self, outcome: Outcome) -> dict[str, Any]:
        """Failed checks come first, then what an artifact says of itself; its own seconds are those that it took to make."""
        described: dict[str, Any] = {}
        failed = [one for one in outcome.evaluated if not one.finding.passed]
        if failed:
            lines = (f"**{markdown(one.check.name)}**: {markdown(one.finding.sentence)}" for one in failed)
            described["failed_checks"] = dg.MetadataValue.md("\n\n".join(map(in_page, lines)))
        described |= {name: metadata_value(value) for name, value in outcome.description.items()}
        facts = {
            "version": outcome.artifact.version,
            "already_there": outcome.made.reused,
            "folder": dg.MetadataValue.path(outcome.artifact.path),
            "seconds": round(time.monotonic() - self._started, 2),
            **self._columns(outcome.artifact),
        }
        return described | {name: value for name, value in facts.items() if name not in described}

    def _columns(self, artifact: Artifact) -> dict[str, Any]:
        """Schema and column lineage of the table that stands for the asset."""
        columns = columns_of(artifact, self._station.table) if self._station.table is not None else []
        if not columns:
            return {}
        schema = dg.TableSchema([dg.TableColumn(column.name, column.type, column.description) for column in columns])
        shown: dict[str, Any] = {"dagster/column_schema": schema}
        origins = {
            column.name: [dg.TableColumnDep(self._placement.key(asset), name) for asset, name in column.origins]
            for column in columns
            if column.origins
        }
        return shown | ({"dagster/column_lineage": dg.TableColumnLineage(origins)} if origins else {})


def metadata_value(value: Shown) -> dg.MetadataValue[Any]:
    """What an artifact shows, as Dagster shows it."""
    shown: dg.MetadataValue[Any]
    match value:
        case Markdown(text):
            shown = dg.MetadataValue.md(text)
        case Link(url):
            shown = dg.MetadataValue.url(url)
        case Details(figures):
            shown = dg.MetadataValue.json(dict(figures))
        case Path():
            shown = dg.MetadataValue.path(value)
        case bool():
            shown = dg.MetadataValue.bool(value)
        case int():
            shown = dg.MetadataValue.int(value)
        case float():
            shown = dg.MetadataValue.float(float(f"{value:.6g}"))
        case _:
            shown = dg.MetadataValue.text(value)
    return shown
