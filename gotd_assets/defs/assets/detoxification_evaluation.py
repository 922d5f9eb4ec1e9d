"""What pre-fine-tuning does to the toxicity of what a model writes."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.settings import DetoxificationSettings, FieldSettings, SourceSettings
from gotd_assets.storage import ArtifactWriter


def detoxification_evaluation(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""

    @dg.asset(
        key=placement.key("detoxification_evaluation"),
        partitions_def=placement.partitions.selections,
        deps=[placement.key("pre_fine_tuned_model")],
        group_name=placement.group("evaluation"),
        kinds={"pytorch", "mlflow"},
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
    )
    def detoxification_evaluation(context: dg.AssetExecutionContext) -> Made:
        """Toxicity of continuations of prompts, before and after pre-fine-tuning, and perplexity of neutral text.

        Expected maximum toxicity and the share of prompts with a toxic continuation, by the classifier of `toxicity`, for
        toxic and other prompts. Runs in MLflow below the model's own. Empty for a target without prompts in
        `evaluation.detoxification`.
        """
        key = SelectionKey.of(context)
        station = Station(context, placement, key.artifact_partition)
        task = station.project.settings.evaluation.prompts(key.target)
        if task is None:
            return station.make({"task": None}, lambda writer, _: writer.summary.update(tasks=0), metadata.figures)
        return _measured(station, key, task)

    return detoxification_evaluation


def _measured(station: Station, key: SelectionKey, task: DetoxificationSettings) -> Made:
    from gotd_assets.corpus import content_fingerprint
    from gotd_assets.embedding import ToxicityClassifier, toxicity_version
    from gotd_assets.training import TrackingContext, evaluate_detoxification

    loaded = station.project
    training = loaded.settings.training
    model = station.read("pre_fine_tuned_model", key.artifact_partition)
    version = toxicity_version(loaded.settings.toxicity, loaded.root)
    station.depend_on({"toxicity": version})
    entries = _entries(task)
    for name, entry in entries.items():
        files = content_fingerprint(
            entry, loaded.root, cache=loaded.home / "cache" / "checksums.json", remote=station.remote
        )
        station.depend_on({f"{name}:{position}": sha for position, sha in enumerate(sorted(files.values()))})
    tracking = TrackingContext.of(
        loaded,
        run_name=f"{key.target} · {key.method} · detoxification",
        selection_version="",
        tags={"gotd.target": key.target, "gotd.method": key.method, "dagster.run_id": station.run_id},
    )

    def write(writer: ArtifactWriter, scratch: Path) -> None:
        texts = _texts(station, entries, task, scratch)
        facts = json.loads(model.file("training.json").read_text(encoding="utf-8"))
        classifier = ToxicityClassifier(loaded.settings.toxicity, loaded.root)
        figures = evaluate_detoxification(
            texts["prompts"],
            texts.get("neutral", []),
            model.path,
            classifier,
            task=task,
            settings=training,
            classifier_version=version,
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
            "task": task.model_dump(mode="json", exclude={"path", "format", "neutral"}),
            "training": training.model_dump(mode="json", include={"max_tokens", "precision", "evaluation_documents"}),
        },
        write,
        metadata.detoxification,
    )


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


def _texts(
    station: Station, entries: Mapping[str, SourceSettings], task: DetoxificationSettings, scratch: Path
) -> dict[str, list[str]]:
    """Cleaned texts by entry, as many as are measured, chosen by their hash; nothing is cut or joined."""
    from gotd_assets.corpus import read_documents, scan_documents

    settings = station.project.settings
    whole = settings.preparation.model_copy(update={"chunk_by": "none", "join_short": False})
    limits = {"prompts": task.prompts, "neutral": settings.training.evaluation_documents}
    found = {}
    for name, entry in entries.items():
        folder = scratch / f"read-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        read_documents(entry, whole, station.project.root, folder, progress=station.show, remote=station.remote)
        documents = scan_documents(folder).select("doc_id", "text").unique("doc_id").sort("doc_id").head(limits[name])
        found[name] = documents.collect().get_column("text").to_list()
    return found
