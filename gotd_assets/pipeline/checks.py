"""Checks as Dagster declares them, and the one that is a step of its own."""

import contextlib
import warnings
from collections.abc import Iterator

import dagster as dg
from dagster_shared.utils.warnings import PreviewWarning

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.checks.check import Check
from gotd_assets.checks.training import records_agree, training_report
from gotd_assets.pipeline.partitions import parse
from gotd_assets.pipeline.placement import Placement
from gotd_assets.stations.station import Station
from gotd_assets.tracking.context import TrackingContext


def check_specs(station: Station, placement: Placement) -> list[dg.AssetCheckSpec]:
    """The checks of `station`, as its asset declares them; the step that makes it evaluates them."""
    with partitioned_checks():
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=placement.key(station.name),
                description=check.description,
                blocking=check.blocking,
                partitions_def=placement.partitions.of(station.division),
            )
            for check in station.checks
        ]


@contextlib.contextmanager
def partitioned_checks() -> Iterator[None]:
    """Without Dagster's warning that checks by partition may still change; without them one partition hides another."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*partitions_def.*", category=PreviewWarning)
        yield


def severity_of(check: Check) -> dg.AssetCheckSeverity:
    """How bad a failure is: one that blocks is an error, any other a warning."""
    return dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN


def records_of_training_agree(placement: Placement) -> dg.AssetChecksDefinition:
    """Build the check; a step of its own, as lineage knows of a model only when its station is done."""

    def compare(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """Compare the three records of a partition's model."""
        from gotd_assets.tracking.run import recorded_run

        key = ArtifactKey("pre_fine_tuned_model", parse(str(context.partition_key), "selection").name)
        artifact = placement.artifacts().current(key, context.run.run_id)
        report = training_report(artifact)
        facts = placement.lineage().audit("model_origin", model=artifact.version).rows_by_key("kind", named=True)
        items = {row["item"]: row["detail"] for row in facts.get("training", []) if row["version"] == artifact.version}
        lineage = {"mlflow_run_id": items.get("MLflow run", ""), "selection_version": items.get("selection", "")}
        found = records_agree(
            {name: report[name] for name in ("mlflow_run_id", "selection_version")},
            lineage if items else {},
            recorded_run(TrackingContext.uri_now(placement.declared, report["tracking_uri"]), report["mlflow_run_id"]),
        )
        return dg.AssetCheckResult(
            passed=found.passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=found.sentence,
            metadata={"partition": str(context.partition_key), **found.figures},
        )

    with partitioned_checks():
        return dg.asset_check(
            name="records_of_training_agree",
            asset=placement.key("pre_fine_tuned_model"),
            description="The model's own record, the lineage store and MLflow name the same run and the same selection.",
            partitions_def=placement.partitions.selections,
        )(compare)
