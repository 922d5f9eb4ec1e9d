"""A vector for every target document."""

import dagster as dg

from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.embed import embed
from gotd_assets.defs.partitions import Partitions
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.settings import Project


def target_embeddings(declared: Project, partitions: Partitions) -> dg.AssetsDefinition:
    """Build the asset."""
    del declared

    @dg.asset(
        partitions_def=partitions.targets,
        deps=["target_documents"],
        group_name="target",
        kinds={"pytorch", "huggingface"},
        check_specs=check_specs("target_embeddings"),
        owners=OWNERS,
        code_version="1",
        pool="compute",
    )
    def target_embeddings(context: dg.AssetExecutionContext, project: ProjectResource) -> Made:
        """Sentence vectors of the target's documents, without the held-out ones."""
        station = Station(context, project, context.partition_key)
        return embed(station, station.read("target_documents", context.partition_key).path / "train")

    return target_embeddings
