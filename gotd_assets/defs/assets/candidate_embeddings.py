"""A vector for every candidate, one partition per source."""

import dagster as dg

from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.embed import embed
from gotd_assets.defs.partitions import Partitions
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.settings import Project


def candidate_embeddings(declared: Project, partitions: Partitions) -> dg.AssetsDefinition:
    """Build the asset."""
    del declared

    @dg.asset(
        partitions_def=partitions.sources,
        deps=["raw_candidates"],
        group_name="candidates",
        kinds={"pytorch", "huggingface"},
        check_specs=check_specs("candidate_embeddings"),
        owners=OWNERS,
        code_version="1",
        pool="compute",
    )
    def candidate_embeddings(context: dg.AssetExecutionContext, project: ProjectResource) -> Made:
        """Sentence vectors of one source's documents.

        Vectors are kept by `doc_id` and encoder version, so only documents never seen before pass through the
        encoder, and a killed run continues where it stopped.
        """
        station = Station(context, project, context.partition_key)
        return embed(station, station.read("raw_candidates", context.partition_key).path)

    return candidate_embeddings
