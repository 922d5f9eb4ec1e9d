"""A vector for every target document."""

import dagster as dg

from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.embed import embed, encoder_deps
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station


def target_embeddings(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""

    @dg.asset(
        key=placement.key("target_embeddings"),
        partitions_def=placement.partitions.targets,
        deps=[placement.key("target_documents"), *encoder_deps(placement)],
        group_name=placement.group("target"),
        kinds={"pytorch", "huggingface"},
        check_specs=check_specs(placement.key("target_embeddings")),
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
    )
    def target_embeddings(context: dg.AssetExecutionContext) -> Made:
        """Sentence vectors of the target's documents, without the held-out ones."""
        station = Station(context, placement, context.partition_key)
        return embed(station, station.read("target_documents", context.partition_key).path / "train")

    return target_embeddings
