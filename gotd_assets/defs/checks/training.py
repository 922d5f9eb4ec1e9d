"""Checks of a trained model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from gotd_assets.defs.checks.check import Check
from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.quality.training import loss_did_not_diverge, records_agree
from gotd_assets.storage import Artifact, ArtifactKey

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding


def _loss(station: Station, artifact: Artifact) -> Finding:
    curve = [(int(step), float(loss)) for step, loss in _report(artifact)["loss_curve"]]
    return loss_did_not_diverge(curve, station.project.settings.checks.max_loss_growth)


def _report(artifact: Artifact) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(artifact.file("training.json").read_text(encoding="utf-8"))
    return report


MODEL = (
    Check(
        "loss_did_not_diverge",
        "The loss is finite, and at the end at most checks.max_loss_growth times what it was at first.",
        _loss,
        blocking=True,
    ),
)


@dg.asset_check(
    asset="pre_fine_tuned_model",
    description="The model's own record, the lineage store and MLflow name the same run and the same selection.",
)
def records_of_training_agree(context: dg.AssetCheckExecutionContext, project: ProjectResource) -> dg.AssetCheckResult:
    """Compare the three records of a partition's model."""
    from gotd_assets.training.tracking import recorded_run

    key = ArtifactKey("pre_fine_tuned_model", SelectionKey.parse(str(context.partition_key)).artifact_partition)
    artifact = project.artifacts().current(key, context.run.run_id)
    report = _report(artifact)
    facts = project.lineage().audit("model_origin", model=artifact.version).rows_by_key("kind", named=True)
    items = {row["item"]: row["detail"] for row in facts.get("training", []) if row["version"] == artifact.version}
    lineage = {"mlflow_run_id": items.get("MLflow run", ""), "selection_version": items.get("selection", "")}
    found = records_agree(
        {name: report[name] for name in ("mlflow_run_id", "selection_version")},
        lineage if items else {},
        recorded_run(report["tracking_uri"], report["mlflow_run_id"]),
    )
    return dg.AssetCheckResult(
        passed=found.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=found.sentence,
        metadata={"partition": str(context.partition_key), **found.figures},
    )
