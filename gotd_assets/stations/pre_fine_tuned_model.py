"""The language model after light training on a selection."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactStore, ArtifactWriter
from gotd_assets.catalogue.shown import Description, Link, Markdown, Percent, Shown, figures
from gotd_assets.checks import training as checks
from gotd_assets.lineage import Materialisation, Training
from gotd_assets.settings.project import Project
from gotd_assets.stations import first_look
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import MODEL_VERSION, Condition, Follows, Recipe, Station
from gotd_assets.stations.work import Work

if TYPE_CHECKING:
    from gotd_assets.tracking.context import TrackingContext

_SELECTION = One("selected_subset")
_TARGET = One("target_documents")


def pre_fine_tuned_model(work: Work) -> Recipe:
    """Stage I of the paper: unsupervised, light training of the base model on the selected documents.

    Recorded as a run in MLflow, with the selection as its dataset. Starts by itself when a selection changes.
    """
    from gotd_assets.models.language import model_version

    training = work.settings.pre_fine_tuning
    subset = work.open(_SELECTION)
    target = work.open(_TARGET)
    work.depend_on({"base_model": model_version(training, work.root)})

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.training.forecast import Forecast
        from gotd_assets.training.pre_fine_tuning import pre_fine_tune

        forecast = Forecast()
        tracking = _tracking(work, subset)

        def show(progress: object) -> None:
            work.announce(forecast.take(progress), writer)
            work.show(progress)

        documents = subset.manifest.summary["documents"]
        work.log(f"{documents} documents, {training.epochs:g} epoch(s)", always=True)
        report = pre_fine_tune(
            subset.file("subset.parquet"),
            training,
            root=work.root,
            cache=work.project.home.models,
            out=writer.path,
            scratch=writer.scratch,
            tracking=dataclasses.replace(tracking, model_location=str(writer.final_path / "model")),
            heldout=target.path / "heldout",
            progress=show,
        )
        writer.summary.update(report.as_summary())

    def record(artifact: Artifact, materialisation: Materialisation) -> Materialisation:
        facts = artifact.json("training.json")
        trained = Training(
            mlflow_run_id=facts["mlflow_run_id"],
            tracking_uri=facts["tracking_uri"],
            selection_version=subset.version,
            base_model=training.model,
            seed=training.seed,
        )
        return dataclasses.replace(materialisation, training=trained)

    ui_url = work.settings.tracking.ui_url
    return Recipe(training.shaping(), write, lambda artifact: _described(artifact, ui_url), record)


def _tracking(work: Work, subset: Artifact) -> TrackingContext:
    """Where the training is recorded, under names that tell."""
    from gotd_assets.tracking.context import TrackingContext

    partition = work.partition
    name = f"{partition.target}-{partition.method}-{subset.manifest.summary['documents']}"
    run_id = work.origin.get("dagster.run_id")
    made = "" if run_id is None else f" in the Dagster run [{run_id[:8]}]({work.settings.notify.ui_url}/runs/{run_id})"
    tracking = TrackingContext.of(
        work.project,
        run_name=f"{partition.target} · {partition.method} · {subset.version[:8]}",
        selection_version=subset.version,
        tags={
            **work.tracking_tags,
            "gotd.selection_version": subset.version,
            "mlflow.note.content": f"Trained on {name}, version {subset.version[:12]}{made}.",
        },
    )
    return dataclasses.replace(
        tracking,
        model_name=name,
        model_parameters={
            "base_model": work.settings.pre_fine_tuning.model,
            "target": partition.target,
            "method": partition.method,
            "budget": subset.manifest.parameters["budget"],
            "epsilon": work.settings.transport.epsilon,
            "epochs": work.settings.pre_fine_tuning.epochs,
            "learning_rate": work.settings.pre_fine_tuning.learning_rate,
            "seed": work.settings.pre_fine_tuning.seed,
        },
        heldout_name=f"{partition.target}-heldout",
        alias=f"best-{partition.target}",
    )


def _described(artifact: Artifact, ui_url: str) -> Description:
    """The MLflow run and the loss curve."""
    from gotd_assets.catalogue import plots

    report: dict[str, Any] = artifact.json("training.json")
    run = f"{ui_url}/#/experiments/{report['experiment_id']}/runs/{report['mlflow_run_id']}"
    # Without it MLflow opens in the dress for chats and agents.
    run += "?workflowType=machine_learning"
    shown: dict[str, Shown] = {"mlflow_run": Link(run)}
    if report.get("loss_curve"):
        shown["loss"] = Markdown(plots.curve(report["loss_curve"], "step", "loss"))
    figured = figures(
        artifact,
        "perplexity_before",
        "perplexity_after",
        Percent("perplexity_change"),
        Percent("perplexity_change_low"),
        Percent("perplexity_change_high"),
        "final_loss",
        "documents",
        "tokens",
        "seconds",
    )
    return shown | figured | {"model": artifact.path / "model"}


def _worth_training(project: Project, store: ArtifactStore, partition: Partition) -> bool:
    from gotd_assets.watch.retraining import worth_training

    return worth_training(store, str(partition.name), project.settings.watch.retrain_below_overlap).train


STATION = Station(
    prepare=pre_fine_tuned_model,
    verb="pre-fine-tune",
    division="selection",
    group="training",
    kinds=frozenset({"pytorch", "huggingface", "mlflow"}),
    code_version="4",
    reads=(_SELECTION, _TARGET),
    looks=(first_look.base_model,),
    checks=checks.MODEL,
    is_heavy=True,
    exists=lambda settings: settings.training is not None,
    launchpad=("training.seed", "training.epochs", "training.learning_rate"),
    follows=Follows(
        lambda _: "selected_subset",
        "new selection that differs enough",
        only_if=Condition(
            "selection_worth_training",
            "fewer documents in common with the selection last trained on than watch.retrain_below_overlap",
            _worth_training,
        ),
    ),
    version_tag=MODEL_VERSION,
    # MLflow refers to trained models where they stand.
    is_kept=True,
)
