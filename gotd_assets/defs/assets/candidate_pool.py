"""All sources as one pool, each document once."""

import dataclasses

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.automation import on_new_candidates
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Station
from gotd_assets.lineage import Materialisation
from gotd_assets.storage import Artifact, ArtifactWriter


def candidate_pool(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    sources = [source.name for source in placement.declared.settings.sources]
    by_vectors = placement.declared.settings.duplicates.cosine is not None

    @dg.asset(
        key=placement.key("candidate_pool"),
        deps=placement.keys("raw_candidates", *(["candidate_embeddings"] if by_vectors else [])),
        group_name=placement.group("candidates"),
        kinds={"polars", "parquet"},
        owners=OWNERS,
        code_version="2",
        automation_condition=on_new_candidates(placement),
    )
    def candidate_pool(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Which documents are duplicates of which, across all sources.

        Of documents that are the same, or nearly, the first in the declared order of sources stays in the pool: by
        their words, and where `duplicates.cosine` is set by their vectors too. The
        paper does not de-duplicate; without it a selection fills up with copies of one good document.
        """
        station = Station(context, placement, None)
        settings = station.project.settings.duplicates
        documents = {source: raw.path for source, raw in station.read_all("raw_candidates", sources).items()}
        compared = sources if settings.cosine is not None else []
        embeddings = {source: made.path for source, made in station.read_all("candidate_embeddings", compared).items()}
        forgotten = station.forgotten()

        def write(writer: ArtifactWriter) -> None:
            import polars as pl

            from gotd_assets.corpus import find_duplicates
            from gotd_assets.selection.pool import write_left_out
            from gotd_assets.selection.similar import leave_out_similar

            duplicates = writer.path / "duplicates.parquet"
            left_out = writer.path / "left_out.parquet"
            report = find_duplicates(documents, settings, duplicates, progress=station.show)
            writer.summary.update(report.as_summary())
            writer.summary["forgotten"] = write_left_out(
                duplicates, pl.Series(forgotten, dtype=pl.String), sources, left_out
            )
            if settings.cosine is not None:
                similar = leave_out_similar(embeddings, settings.cosine, duplicates, left_out, progress=station.show)
                writer.summary.update(similar.as_summary(documents))

        def recorded(artifact: Artifact, record: Materialisation) -> Materialisation:
            from gotd_assets.selection.pool import exclusions

            left_out = exclusions(artifact.file("duplicates.parquet"), forgotten)
            return dataclasses.replace(record, exclusions=left_out)

        return station.make(
            {
                "duplicates": settings.model_dump(mode="json", exclude={"contamination"}),
                "order": sources,
                "forgotten": forgotten,
            },
            lambda writer, _scratch: write(writer),
            lambda artifact: (
                metadata.duplicates(artifact)
                | metadata.similar(artifact)
                | station.pace(metadata.count(artifact, "documents"))
            ),
            recorded,
        )

    return candidate_pool
