"""All sources as one pool, each document once."""

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.automation import ON_NEW_CANDIDATES
from gotd_assets.defs.partitions import Partitions
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.defs.station import OWNERS, Station
from gotd_assets.settings import Project
from gotd_assets.storage import ArtifactWriter


def candidate_pool(declared: Project, partitions: Partitions) -> dg.AssetsDefinition:
    """Build the asset."""
    del partitions
    sources = [source.name for source in declared.settings.sources]

    @dg.asset(
        deps=["raw_candidates"],
        group_name="candidates",
        kinds={"polars", "parquet"},
        owners=OWNERS,
        code_version="1",
        automation_condition=ON_NEW_CANDIDATES,
    )
    def candidate_pool(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult[None]:
        """Which documents are duplicates of which, across all sources.

        Of documents that are the same, or nearly, the first in the declared order of sources stays in the pool. The
        paper does not de-duplicate; without it a selection fills up with copies of one good document.
        """
        station = Station(context, project, None)
        settings = station.project.settings.duplicates
        documents = {source: raw.path for source, raw in station.read_all("raw_candidates", sources).items()}
        forgotten = project.lineage().forgotten_documents().get_column("doc_id").sort()

        def write(writer: ArtifactWriter) -> None:
            from gotd_assets.corpus import find_duplicates
            from gotd_assets.selection.pool import write_left_out

            duplicates = writer.path / "duplicates.parquet"
            report = find_duplicates(documents, settings, duplicates, progress=station.show)
            writer.summary.update(report.as_summary())
            writer.summary["forgotten"] = write_left_out(
                duplicates, forgotten, sources, writer.path / "left_out.parquet"
            )

        return station.make(
            {
                "duplicates": settings.model_dump(mode="json", exclude={"contamination"}),
                "order": sources,
                "forgotten": forgotten.to_list(),
            },
            lambda writer, _scratch: write(writer),
            metadata.duplicates,
        )

    return candidate_pool
