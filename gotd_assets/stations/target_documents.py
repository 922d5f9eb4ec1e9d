"""The target's documents, with some held out for evaluation."""

from __future__ import annotations

import dataclasses

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import DOCUMENT_COLUMNS, Table
from gotd_assets.catalogue.shown import Description
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.checks import documents as checks
from gotd_assets.lineage import Materialisation
from gotd_assets.stations.documents import described_reading, warn_of_loss
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work


def target_documents(work: Work) -> Recipe:
    """A small sample of the task that models are to be prepared for.

    The held-out part is split off here, whole documents at a time, before anything is selected, so that no
    evaluation sees text that guided the selection.
    """
    settings = work.settings
    target = settings.target(work.partition.own_target)
    files = work.checksums(target)
    # By content, not by name: a renamed file is no new target.
    work.depend_on({f"content:{position}": sha for position, sha in enumerate(sorted(files.values()))})
    forgotten = work.forgotten()

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.corpus.targets import read_target

        counts = read_target(
            target,
            settings.preparation,
            work.root,
            writer.path,
            encoder=settings.encoder,
            progress=work.show,
            remote=work.remote,
            forgotten=forgotten,
        )
        writer.summary.update(counts)
        warn_of_loss(writer.summary, work)

    def record(artifact: Artifact, materialisation: Materialisation) -> Materialisation:
        return dataclasses.replace(
            materialisation,
            source_files=work.source_files(files),
            examples=sorted(artifact.path.glob("*/documents-*.parquet")),
        )

    return Recipe(
        {
            "reading": {name: value for name, value in target.shaping().items() if name != "draw" or value is not None},
            "preparation": settings.preparation.shaping(),
            **({"forgotten": forgotten} if forgotten else {}),
        },
        write,
        _described,
        record,
    )


def _described(artifact: Artifact) -> Description:
    """Counts and a sample of the part that guides the selection."""
    from gotd_assets.corpus.shards import scan_documents

    sample = scan_documents(artifact.path / "train").select("text", "n_chars", "doc_id").head(5).collect()
    return {"sample": frame_table(sample), **described_reading(artifact)}


STATION = Station(
    prepare=target_documents,
    verb="read",
    division="target",
    group="target",
    kinds=frozenset({"polars", "parquet"}),
    code_version="1",
    checks=checks.TARGET,
    table=Table("train/documents-*.parquet", DOCUMENT_COLUMNS),
)
