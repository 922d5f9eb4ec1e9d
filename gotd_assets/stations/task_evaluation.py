"""What pre-fine-tuning saves in labels."""

from __future__ import annotations

from typing import Any

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.shown import Description, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.evaluation.task_table import accuracy_gained, labels_saved
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_LABELLED = One("labelled_documents")
_MODEL = One("pre_fine_tuned_model")


def task_evaluation(work: Work) -> Recipe:
    """Stage II of the paper: fine-tuning on some labels, for several numbers of them, before and after stage I.

    Accuracy and F1 by number of labels and seed, the labels saved at equal score, and classification without
    labels, by the likelihood of the words that say them. Runs in MLflow below the model's own. Empty for a target
    without a task in `evaluation.classification`.
    """
    from gotd_assets.tracking.context import TrackingContext

    training = work.settings.pre_fine_tuning
    task = work.settings.evaluation.task(work.partition.own_target)
    if task is None:
        return Recipe({"task": None}, lambda writer: writer.summary.update(tasks=0))
    labelled = work.open(_LABELLED)
    model = work.open(_MODEL)
    tracking = TrackingContext.of(
        work.project,
        run_name=f"{work.partition.target} · {work.partition.method} · labelled task",
        selection_version="",
        tags=work.tracking_tags,
    )

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.evaluation.labelled_task import evaluate_task

        facts = model.json("training.json")
        measured = evaluate_task(
            labelled.path,
            model.path,
            task,
            training,
            root=work.root,
            cache=work.project.home.models,
            scratch=writer.scratch,
            out=writer.path,
            tracking=tracking,
            training_run=facts["mlflow_run_id"],
            progress=work.show,
        )
        writer.summary.update({"tasks": 1, **measured})

    return Recipe({"task": task.shaping(), "training": training.shaping()}, write, _described)


def _described(artifact: Artifact) -> Description:
    """Scores by number of labels, of the base model and of the trained one, their difference, and the labels saved."""
    content: dict[str, Any] = artifact.json("task.json")
    points = pl.concat(
        pl.DataFrame(content[model]["curve"]).drop("predicted").with_columns(model=pl.lit(model))
        for model in ("base", "trained")
    )
    means = (
        points.group_by("way", "labels", maintain_order=True)
        .agg(
            *(
                pl.col(figure).filter(pl.col("model") == model).mean().alias(f"{figure}, {model}")
                for figure in ("accuracy", "macro_f1")
                for model in ("base", "trained")
            )
        )
        .sort("way", "labels")
    )
    beside = {"accuracy gained": accuracy_gained, "labels saved": labels_saved}
    columns = [
        pl.Series(name, [told(content, way, size) for way, size in means.select("way", "labels").iter_rows()])
        for name, told in beside.items()
    ]
    return {"curve": frame_table(means.with_columns(*columns)), **figures(artifact)}


STATION = Station(
    prepare=task_evaluation,
    verb="measure the labelled task",
    division="selection",
    group="evaluation",
    kinds=frozenset({"pytorch", "mlflow"}),
    code_version="4",
    reads=(_LABELLED, _MODEL),
    is_heavy=True,
    exists=lambda settings: bool(settings.evaluation.classification),
    wanted=lambda settings, partition: settings.evaluation.task(partition.own_target) is not None,
)
