"""What pre-fine-tuning does on tasks of the lm-evaluation-harness."""

from __future__ import annotations

from typing import Any

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.shown import Description, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_MODEL = One("pre_fine_tuned_model")


def harness_evaluation(work: Work) -> Recipe:
    """Tasks of the lm-evaluation-harness (`evaluation.harness`), for the base model and the trained one.

    Both answer the same items, and what one gains over the other on them has an interval, which the harness itself does not
    give. The values of every item are kept. Runs in MLflow below the model's own.
    """
    from gotd_assets.evaluation.harness import evaluate_on_tasks, tasks_version
    from gotd_assets.tracking.context import TrackingContext

    settings = work.settings.evaluation.harness
    if settings is None:
        return Recipe({"tasks": None}, lambda writer: writer.summary.update(tasks=0))
    training = work.settings.pre_fine_tuning
    model = work.open(_MODEL)
    versions = tasks_version(settings, work.root)
    work.depend_on(versions)
    tracking = TrackingContext.of(
        work.project,
        run_name=f"{work.partition.target} · {work.partition.method} · harness",
        selection_version="",
        tags=work.tracking_tags,
    )

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.tracking.nested import NestedRun, log_nested

        table = evaluate_on_tasks(
            model.path,
            settings,
            training,
            root=work.root,
            cache=work.project.home.models,
            versions=versions,
            out=writer.path,
            progress=work.show,
        )
        below = [
            NestedRun(
                f"{row['task']} · {row['metric']}",
                {"task": row["task"], "metric": row["metric"], "items": row["items"]},
                {name: row[name] for name in ("base", "trained", "gain", "low", "high", "p") if row[name] is not None},
            )
            for row in table.iter_rows(named=True)
        ]
        gains = {f"gain_{row['task']}_{row['metric']}": row["gain"] for row in table.iter_rows(named=True)}
        parent = str(model.json("training.json")["mlflow_run_id"])
        log_nested(tracking, parent, NestedRun(tracking.run_name, settings.model_dump(mode="json"), gains, below))
        writer.summary.update({"tasks": len(settings.tasks), "compared": table.to_dicts(), **gains})

    return Recipe({"harness": settings.shaping(), "training": training.shaping()}, write, _described)


def _described(artifact: Artifact) -> Description:
    """Both models by task and metric."""
    compared: Any = artifact.manifest.summary.get("compared")
    table = {"compared": frame_table(pl.DataFrame(compared).drop("filter"))} if compared else {}
    return {**table, **figures(artifact)}


STATION = Station(
    prepare=harness_evaluation,
    verb="ask the harness",
    division="selection",
    group="evaluation",
    kinds=frozenset({"pytorch", "mlflow"}),
    code_version="1",
    reads=(_MODEL,),
    is_heavy=True,
    exists=lambda settings: settings.evaluation.harness is not None,
)
