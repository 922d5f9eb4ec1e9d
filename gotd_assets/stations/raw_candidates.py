"""Candidates as read, cleaned and cut, one partition per source."""

from __future__ import annotations

import dataclasses

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import DOCUMENT_COLUMNS, Table
from gotd_assets.catalogue.shown import Description
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.checks import documents as checks
from gotd_assets.errors import InputError
from gotd_assets.lineage import Materialisation
from gotd_assets.stations.documents import described_reading, warn_of_loss
from gotd_assets.stations.engine import engine_of
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work


def raw_candidates(work: Work) -> Recipe:
    """Documents of one source, ready to be selected.

    Every record of the source's files is read, cleaned, cut or joined to chunks and named by `doc_id`, the hash
    of its text. What cannot be read is quarantined and counted, never dropped in silence.
    """
    settings = work.settings
    source = settings.source(str(work.partition.source))
    if not source.path:
        raise InputError(
            f"source {source.name}: its rows are those of the asset {source.asset}, which only a run in Dagster knows: "
            "materialize raw_candidates there"
        )
    files = work.checksums(source)
    work.depend_on({f"file:{name}": checksum for name, checksum in files.items()})

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.corpus.documents import read_documents

        with engine_of(work) as engine:
            report = read_documents(
                source,
                settings.preparation,
                work.root,
                writer.path,
                encoder=settings.encoder,
                progress=work.show,
                remote=work.remote,
                engine=engine,
            )
        writer.summary.update(report.as_summary())
        warn_of_loss(writer.summary, work)

    def record(artifact: Artifact, materialisation: Materialisation) -> Materialisation:
        return dataclasses.replace(
            materialisation,
            documents=sorted(artifact.path.glob("documents-*.parquet")),
            source_files=work.source_files(files),
        )

    return Recipe(
        {"reading": source.shaping(), "preparation": settings.preparation.shaping()},
        write,
        _described,
        record,
        paced_by="read",
    )


def _described(artifact: Artifact) -> Description:
    from gotd_assets.corpus.shards import sample_documents

    sample = sample_documents(artifact.path, 5).select("text", "n_chars", "doc_id")
    return {"sample": frame_table(sample), **described_reading(artifact)}


STATION = Station(
    prepare=raw_candidates,
    verb="read",
    division="source",
    group="candidates",
    kinds=frozenset({"polars", "parquet"}),
    has_workers=True,
    code_version="1",
    checks=checks.CANDIDATES,
    table=Table("documents-*.parquet", DOCUMENT_COLUMNS),
)
