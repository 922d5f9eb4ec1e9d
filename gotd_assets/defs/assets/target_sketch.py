"""The target as a few weighted points."""

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.storage import ArtifactWriter


def target_sketch(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""

    @dg.asset(
        key=placement.key("target_sketch"),
        partitions_def=placement.partitions.targets,
        deps=[placement.key("target_embeddings")],
        group_name=placement.group("target"),
        kinds={"pytorch", "numpy"},
        check_specs=check_specs(placement.key("target_sketch")),
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
    )
    def target_sketch(context: dg.AssetExecutionContext) -> Made:
        """Weighted points that stand for the target in the transport problem.

        The time of a solve grows with their number; the sketching error says what was lost.
        """
        station = Station(context, placement, context.partition_key)
        transport = station.project.settings.transport
        embeddings = station.read("target_embeddings", context.partition_key)

        def write(writer: ArtifactWriter) -> None:
            from gotd_assets.embedding import open_vectors
            from gotd_assets.transport import make_sketch

            sketch = make_sketch(
                open_vectors(embeddings.path).vectors,
                method=transport.sketch.method,
                size=transport.sketch.size,
                tolerance=transport.sketch.tolerance,
                cost=transport.cost,
            )
            sketch.save(writer.path / "sketch.safetensors")
            writer.summary.update(points=len(sketch.weights), method=sketch.method, error=sketch.error)

        return station.make(
            {"sketch": transport.sketch.model_dump(mode="json"), "cost": transport.cost},
            lambda writer, _scratch: write(writer),
            metadata.sketch,
        )

    return target_sketch
