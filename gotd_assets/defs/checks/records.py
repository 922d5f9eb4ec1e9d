"""The check that everyone tells the same story of a training."""

import dagster as dg

from gotd_assets.defs.checks.training import training_report
from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.defs.placement import Placement
from gotd_assets.quality.training import records_agree
from gotd_assets.storage import ArtifactKey


def records_of_training_agree(placement: Placement) -> dg.AssetChecksDefinition:
    """Build the check; a step of its own, as lineage knows of a model only when its station is done."""

    @dg.asset_check(
        asset=placement.key("pre_fine_tuned_model"),
        description="The model's own record, the lineage store and MLflow name the same run and the same selection.",
    )
    def records_of_training_agree(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """Compare the three records of a partition's model."""
        if placement.plan is not None:
            return dg.AssetCheckResult(passed=True, description="dry run")
        from gotd_assets.training.tracking import recorded_run

        key = ArtifactKey("pre_fine_tuned_model", SelectionKey.parse(str(context.partition_key)).artifact_partition)
        artifact = placement.artifacts().current(key, context.run.run_id)
        report = training_report(artifact)
        facts = placement.lineage().audit("model_origin", model=artifact.version).rows_by_key("kind", named=True)
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

    return records_of_training_agree
