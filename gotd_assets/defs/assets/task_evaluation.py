"""What pre-fine-tuning saves in labels."""

import json
from pathlib import Path

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.storage import ArtifactWriter


def task_evaluation(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""

    @dg.asset(
        key=placement.key("task_evaluation"),
        partitions_def=placement.partitions.selections,
        deps=[placement.key("labelled_documents"), placement.key("pre_fine_tuned_model")],
        group_name=placement.group("evaluation"),
        kinds={"pytorch", "mlflow"},
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
    )
    def task_evaluation(context: dg.AssetExecutionContext) -> Made:
        """Stage II of the paper: fine-tuning on some labels, for several numbers of them, before and after stage I.

        Accuracy and F1 by number of labels and seed, the labels saved at equal score, and classification without
        labels, by the likelihood of the words that say them. Runs in MLflow below the model's own. Empty for a target
        without a task in `evaluation.classification`.
        """
        from gotd_assets.training import TrackingContext, evaluate_task

        key = SelectionKey.of(context)
        station = Station(context, placement, key.artifact_partition)
        loaded = station.project
        task = loaded.settings.evaluation.task(key.target)
        if task is None:
            return station.make({"task": None}, lambda writer, _: writer.summary.update(tasks=0), metadata.figures)
        labelled = station.read("labelled_documents", key.target)
        model = station.read("pre_fine_tuned_model", key.artifact_partition)
        training = loaded.settings.training
        tracking = TrackingContext.of(
            loaded,
            run_name=f"{key.target} · {key.method} · labelled task",
            selection_version="",
            tags={"gotd.target": key.target, "gotd.method": key.method, "dagster.run_id": station.run_id},
        )

        def write(writer: ArtifactWriter, scratch: Path) -> None:
            facts = json.loads(model.file("training.json").read_text(encoding="utf-8"))
            figures = evaluate_task(
                labelled.path,
                model.path,
                task,
                training,
                root=loaded.root,
                cache=loaded.home / "cache" / "models",
                scratch=scratch,
                out=writer.path,
                tracking=tracking,
                training_run=facts["mlflow_run_id"],
                progress=station.show,
            )
            writer.summary.update({"tasks": 1, **figures})

        return station.make(
            {
                "task": task.model_dump(mode="json", exclude={"path", "format"}),
                "training": training.model_dump(mode="json", exclude={"model", "device", "checkpoint_steps"}),
            },
            write,
            metadata.task,
        )

    return task_evaluation
