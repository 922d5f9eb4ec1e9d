"""What pre-fine-tuning does to the toxicity of what a model writes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.shown import Description, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.settings.evaluation import DetoxificationSettings
from gotd_assets.settings.project import Project
from gotd_assets.settings.texts import FieldSettings, SourceSettings
from gotd_assets.stations import first_look
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_MODEL = One("pre_fine_tuned_model")


def detoxification_evaluation(work: Work) -> Recipe:
    """Toxicity of continuations of prompts, before and after pre-fine-tuning, and perplexity of neutral text.

    Expected maximum toxicity and the share of prompts with a toxic continuation, by the classifier of `toxicity`, for
    toxic and other prompts. Runs in MLflow below the model's own. Empty for a target without prompts in
    `evaluation.detoxification`.
    """
    task = work.settings.evaluation.prompts(work.partition.own_target)
    if task is None:
        return Recipe({"task": None}, lambda writer: writer.summary.update(tasks=0))
    return _measured(work, task)


def _measured(work: Work, task: DetoxificationSettings) -> Recipe:
    from gotd_assets.models.toxicity import ToxicityClassifier, toxicity_version
    from gotd_assets.tracking.context import TrackingContext

    training = work.settings.pre_fine_tuning
    model = work.open(_MODEL)
    version = toxicity_version(work.settings.toxicity, work.root)
    work.depend_on({"toxicity": version})
    entries = _entries(task)
    for name, entry in entries.items():
        files = work.checksums(entry)
        work.depend_on({f"{name}:{position}": sha for position, sha in enumerate(sorted(files.values()))})
    tracking = TrackingContext.of(
        work.project,
        run_name=f"{work.partition.target} · {work.partition.method} · detoxification",
        selection_version="",
        tags=work.tracking_tags,
    )

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.evaluation.detoxification import evaluate_detoxification

        texts = _texts(work, entries, task, writer.scratch)
        facts = model.json("training.json")
        measured = evaluate_detoxification(
            texts["prompts"],
            texts.get("neutral", []),
            model.path,
            ToxicityClassifier(work.settings.toxicity, work.root),
            task=task,
            settings=training,
            classifier_version=version,
            root=work.root,
            cache=work.project.home.models,
            scratch=writer.scratch,
            out=writer.path,
            tracking=tracking,
            training_run=facts["mlflow_run_id"],
            progress=work.show,
        )
        writer.summary.update({"tasks": 1, **measured})

    how = training.model_dump(mode="json", include={"max_tokens", "precision", "evaluation_documents"})
    return Recipe({"task": task.shaping(), "training": how}, write, _described)


def _entries(task: DetoxificationSettings) -> dict[str, SourceSettings]:
    """Prompts and neutral texts as sources of text."""
    entries = {
        "prompts": SourceSettings(
            name=task.target, path=task.path, format=task.format, fields=FieldSettings(text=task.text)
        )
    }
    if task.neutral is not None:
        entries["neutral"] = SourceSettings(
            name=task.target, path=task.neutral, fields=FieldSettings(text=task.neutral_text)
        )
    return entries


def _prompts(project: Project, partition: Partition) -> None:
    """Whether the files of prompts and of neutral text can be read."""
    from gotd_assets.corpus.first_look import look_at_texts

    task = project.settings.evaluation.prompts(partition.own_target)
    for name, entry in _entries(task).items() if task is not None else ():
        look_at_texts(entry, project.root, f"evaluation.detoxification of target {entry.name!r}, {name}")


def _texts(
    work: Work, entries: Mapping[str, SourceSettings], task: DetoxificationSettings, scratch: Path
) -> dict[str, list[str]]:
    """Cleaned texts by entry, as many as are measured, chosen by their hash; nothing is cut or joined."""
    from gotd_assets.corpus.documents import read_documents
    from gotd_assets.corpus.shards import scan_documents

    whole = work.settings.preparation.model_copy(update={"chunk_by": "none", "join_short": False})
    limits = {"prompts": task.prompts, "neutral": work.settings.pre_fine_tuning.evaluation_documents}
    found = {}
    for name, entry in entries.items():
        folder = scratch / f"read-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        read_documents(entry, whole, work.root, folder, progress=work.show, remote=work.remote)
        documents = scan_documents(folder).select("doc_id", "text").unique("doc_id").sort("doc_id").head(limits[name])
        found[name] = documents.collect().get_column("text").to_list()
    return found


def _described(artifact: Artifact) -> Description:
    """Toxicity by kind of prompt, of the base model and of the trained one."""
    content: dict[str, Any] = artifact.json("detoxification.json")
    rows = [
        {"prompts": f"{kind} ({content['prompts'][kind]})", "model": model, **found}
        for kind in content["base"]
        for model, found in (("base", content["base"][kind]), ("trained", content["trained"][kind]))
    ]
    return {
        **figures(artifact),
        "toxicity": frame_table(pl.DataFrame(rows)),
        "generations": artifact.file("generations.parquet"),
    }


STATION = Station(
    prepare=detoxification_evaluation,
    verb="measure toxicity",
    division="selection",
    group="evaluation",
    kinds=frozenset({"pytorch", "mlflow"}),
    code_version="2",
    reads=(_MODEL,),
    looks=(_prompts, first_look.classifier),
    is_heavy=True,
    exists=lambda settings: bool(settings.evaluation.detoxification),
    wanted=lambda settings, partition: settings.evaluation.prompts(partition.own_target) is not None,
)
