"""A vector for every candidate, one partition per source."""

import dagster as dg

from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.embed import embed, encoder_deps
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station


def candidate_embeddings(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""

    @dg.asset(
        key=placement.key("candidate_embeddings"),
        partitions_def=placement.partitions.sources,
        deps=[placement.key("raw_candidates"), *encoder_deps(placement)],
        group_name=placement.group("candidates"),
        kinds={"pytorch", "huggingface"},
        check_specs=check_specs(placement.key("candidate_embeddings")),
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
    )
    def candidate_embeddings(context: dg.AssetExecutionContext) -> Made:
        """Sentence vectors of one source's documents.

        Vectors are kept by `doc_id` and encoder version, so only documents never seen before pass through the
        encoder, and a killed run continues where it stopped.
        """
        station = Station(context, placement, context.partition_key)
        return embed(station, station.read("raw_candidates", context.partition_key).path)

    return candidate_embeddings
