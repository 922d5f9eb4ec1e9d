"""The language model after light training on a selection."""

import dataclasses
import json
from pathlib import Path

import dagster as dg
from pydantic import Field

from gotd_assets.defs import metadata
from gotd_assets.defs.automation import on_new_selection
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.storage import Artifact, ArtifactWriter


def pre_fine_tuned_model(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    defaults = placement.declared.settings.training

    class TrainingRun(dg.Config):
        seed: int = Field(default=defaults.seed, ge=0, description="Seed of shuffling, dropout and masking.")
        epochs: float = Field(default=defaults.epochs, gt=0, description="Passes over the selection.")
        learning_rate: float = Field(default=defaults.learning_rate, gt=0, description="Peak learning rate.")

    @dg.asset(
        key=placement.key("pre_fine_tuned_model"),
        partitions_def=placement.partitions.selections,
        deps=[placement.key("selected_subset"), placement.key("target_documents")],
        group_name=placement.group("training"),
        kinds={"pytorch", "huggingface", "mlflow"},
        check_specs=check_specs(placement.key("pre_fine_tuned_model")),
        owners=OWNERS,
        code_version="3",
        pool=placement.pool,
        automation_condition=on_new_selection(placement),
    )
    def pre_fine_tuned_model(context: dg.AssetExecutionContext, config: TrainingRun) -> Made:
        """Stage I of the paper: unsupervised, light training of the base model on the selected documents.

        Recorded as a run in MLflow, with the selection as its dataset. Starts by itself when a selection changes.
        """
        from gotd_assets.lineage import Training
        from gotd_assets.training import TrackingContext, model_version, pre_fine_tune

        key = SelectionKey.of(context)
        station = Station(context, placement, key.artifact_partition)
        loaded = station.project
        training = loaded.settings.training.model_copy(update=config.model_dump())
        subset = station.read("selected_subset", key.artifact_partition)
        target = station.read("target_documents", key.target)
        station.depend_on({"base_model": model_version(training, loaded.root)})
        tracking = TrackingContext.of(
            loaded,
            run_name=f"{key.target} · {key.method} · {subset.version[:8]}",
            selection_version=subset.version,
            tags={
                "dagster.run_id": station.run_id,
                "dagster.asset_key": context.asset_key.to_user_string(),
                "dagster.partition": context.partition_key,
                "gotd.target": key.target,
                "gotd.method": key.method,
                "gotd.selection_version": subset.version,
            },
        )

        def write(writer: ArtifactWriter, scratch: Path) -> None:
            from gotd_assets.training.forecast import Forecast

            forecast = Forecast()

            def show(progress: object) -> None:
                station.announce(forecast.take(progress), writer)
                station.show(progress)

            documents = subset.manifest.summary["documents"]
            station.log(f"{documents} documents, {training.epochs:g} epoch(s)", always=True)
            report = pre_fine_tune(
                subset.file("subset.parquet"),
                training,
                root=loaded.root,
                cache=loaded.home / "cache" / "models",
                out=writer.path,
                scratch=scratch,
                tracking=dataclasses.replace(tracking, model_location=str(writer.final_path / "model")),
                heldout=target.path / "heldout",
                progress=show,
            )
            writer.summary.update(report.as_summary())

        def trained(artifact: Artifact) -> Training:
            facts = json.loads(artifact.file("training.json").read_text(encoding="utf-8"))
            return Training(
                mlflow_run_id=facts["mlflow_run_id"],
                tracking_uri=facts["tracking_uri"],
                selection_version=subset.version,
                base_model=training.model,
                seed=training.seed,
            )

        return station.make(
            training.model_dump(mode="json", exclude={"model", "device", "checkpoint_steps"}),
            write,
            lambda artifact: metadata.training(artifact, loaded.settings.tracking.ui_url),
            lambda artifact, record: dataclasses.replace(record, training=trained(artifact)),
        )

    return pre_fine_tuned_model
