"""Labelled texts of a target's task."""

from __future__ import annotations

import dataclasses

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.lineage import Materialisation
from gotd_assets.stations import first_look
from gotd_assets.stations.reads import Each
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_DOCUMENTS = Each("raw_candidates")


def labelled_documents(work: Work) -> Recipe:
    """Labelled texts of the target's task, some to fine-tune on and some to measure on.

    What the pool has, too, is not measured on. Empty for a target without a task in `evaluation.classification`.
    """
    from gotd_assets.corpus.labelled import labelled_source, read_labelled

    settings = work.settings
    task = settings.evaluation.task(work.partition.own_target)
    if task is None:
        return Recipe({"task": None}, lambda writer: writer.summary.update(tasks=0))
    raw = work.open(_DOCUMENTS)
    files = work.checksums(labelled_source(task))
    work.depend_on({f"content:{position}": sha for position, sha in enumerate(sorted(files.values()))})
    forgotten = work.forgotten()

    def write(writer: ArtifactWriter) -> None:
        counts = read_labelled(
            task,
            settings.preparation,
            settings.duplicates,
            [artifact.path for artifact in raw.values()],
            root=work.root,
            out=writer.path,
            progress=work.show,
            remote=work.remote,
            forgotten=forgotten,
        )
        writer.summary.update({"tasks": 1, **counts})

    def record(artifact: Artifact, materialisation: Materialisation) -> Materialisation:
        return dataclasses.replace(
            materialisation,
            source_files=work.source_files(files),
            examples=sorted(artifact.path.glob("*/documents-*.parquet")),
        )

    reading = ("text", "label", "labels", "test_share", "test_documents", "sizes")
    return Recipe(
        {
            "task": {name: value for name, value in task.shaping().items() if name in reading},
            "preparation": settings.preparation.shaping(),
            "duplicates": settings.duplicates.shaping(),
            **({"forgotten": forgotten} if forgotten else {}),
        },
        write,
        record=record,
    )


STATION = Station(
    prepare=labelled_documents,
    verb="read labelled texts",
    division="target",
    group="evaluation",
    kinds=frozenset({"polars", "parquet"}),
    code_version="2",
    reads=(_DOCUMENTS,),
    looks=(first_look.labelled_texts,),
    exists=lambda settings: bool(settings.evaluation.classification),
    wanted=lambda settings, partition: settings.evaluation.task(partition.own_target) is not None,
)
