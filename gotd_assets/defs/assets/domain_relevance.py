"""How far each source is from the target."""

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Station
from gotd_assets.storage import ArtifactWriter


def domain_relevance(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    sources = [source.name for source in placement.declared.settings.sources]

    @dg.asset(
        key=placement.key("domain_relevance"),
        partitions_def=placement.partitions.targets,
        deps=[
            placement.every_source("candidate_embeddings"),
            placement.key("candidate_pool"),
            placement.key("target_sketch"),
        ],
        group_name=placement.group("transport"),
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
    )
    def domain_relevance(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The paper's domain relevance test: OT distance of a sample of each source to the target.

        It says which sources are worth selecting from; `selection.nearest_sources` keeps only the nearest, and DAPT
        draws from the nearest one.
        """
        station = Station(context, placement, context.partition_key)
        settings = station.project.settings
        left_out = station.read("candidate_pool").file("left_out.parquet")
        embeddings = station.read_all("candidate_embeddings", sources)
        sketch = station.read("target_sketch", context.partition_key)

        def write(writer: ArtifactWriter) -> None:
            from gotd_assets.selection.pool import Pool
            from gotd_assets.selection.relevance import as_frame, source_distances
            from gotd_assets.transport import Sketch

            distances = source_distances(
                Pool.open({name: artifact.path for name, artifact in embeddings.items()}, left_out),
                Sketch.load(sketch.file("sketch.safetensors")),
                settings.transport,
                sample=settings.selection.relevance_sample,
                seed=settings.selection.seed,
                progress=station.show,
            )
            as_frame(distances).write_parquet(writer.path / "sources.parquet")
            writer.summary.update(
                nearest=distances[0].source,
                nearest_distance=distances[0].distance,
                farthest=distances[-1].source,
                farthest_distance=distances[-1].distance,
                sources=len(distances),
            )

        return station.make(
            {
                "transport": settings.transport.model_dump(
                    mode="json", exclude={"sketch", "memory_budget_gb", "device", "products", "debias", "solver"}
                ),
                "sample": settings.selection.relevance_sample,
                "seed": settings.selection.seed,
            },
            lambda writer, _scratch: write(writer),
            metadata.relevance,
        )

    return domain_relevance
