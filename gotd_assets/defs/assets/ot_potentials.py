"""The solved transport problem: optimal dual potentials with their certificate."""

import dagster as dg
from pydantic import Field

from gotd_assets.defs import metadata
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.storage import ArtifactWriter


def ot_potentials(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    defaults = placement.declared.settings.transport
    sources = [source.name for source in placement.declared.settings.sources]

    class TransportRun(dg.Config):
        epsilon: float = Field(default=defaults.epsilon, gt=0, description="Entropic regularisation of this run.")
        tolerance: float = Field(default=defaults.tolerance, gt=0, description="Marginal error to stop at.")

    @dg.asset(
        key=placement.key("ot_potentials"),
        partitions_def=placement.partitions.targets,
        deps=[
            placement.every_source("candidate_embeddings"),
            placement.key("candidate_pool"),
            placement.key("target_sketch"),
        ],
        group_name=placement.group("transport"),
        kinds={"pytorch"},
        check_specs=check_specs(placement.key("ot_potentials")),
        owners=OWNERS,
        code_version="2",
        pool=placement.pool,
    )
    def ot_potentials(context: dg.AssetExecutionContext, config: TransportRun) -> Made:
        """Dual potentials of the entropic transport problem between pool and target.

        One number per sketch point. The certificate says how far the plan is from optimal: the dual value bounds the
        transport cost from below, a rounded plan from above.
        """
        station = Station(context, placement, context.partition_key)
        transport = station.project.settings.transport.model_copy(update=config.model_dump())
        pool = station.read("candidate_pool")
        embeddings = station.read_all("candidate_embeddings", sources)
        sketch = station.read("target_sketch", context.partition_key)
        # Where the solve starts is no input: the version, and so reuse, does not depend on it.
        previous = station.standing()
        warm = station.project.settings.watch.warm_start and transport.solver == "semidual"

        def write(writer: ArtifactWriter) -> None:
            from gotd_assets.selection.pool import Pool
            from gotd_assets.transport import Sketch, solve
            from gotd_assets.watch.warm_start import earlier_potentials

            points = Sketch.load(sketch.path / "sketch.safetensors")
            earlier = earlier_potentials(previous, points, transport.cost) if warm else None
            if earlier is not None and previous is not None:
                station.log(f"starting from the potentials of version {previous.version}", always=True)
                writer.summary["started_from"] = previous.version
            potentials = solve(
                Pool.open(
                    {name: artifact.path for name, artifact in embeddings.items()}, pool.file("left_out.parquet")
                ).vectors,
                points,
                initial=earlier,
                cost=transport.cost,
                epsilon=transport.epsilon,
                epsilon_scale=transport.epsilon_scale,
                tolerance=transport.tolerance,
                max_passes=transport.max_passes,
                reach=transport.reach,
                debias=transport.debias,
                solver=transport.solver,
                memory_budget_bytes=int(transport.memory_budget_gb * 2**30),
                device=transport.device,
                products=transport.products,
                progress=station.show,
            )
            potentials.save(writer.path / "potentials.safetensors")
            writer.summary.update(potentials.certificate.as_dict())
            if not potentials.certificate.converged:
                context.log.warning(
                    f"the solve did not converge: marginal error {potentials.certificate.marginal_error:.3g} after "
                    f"{potentials.certificate.passes} passes, asked for {transport.tolerance:g}. Scores are usable but "
                    "less exact; raise transport.max_passes or transport.epsilon"
                )

        return station.make(
            transport.model_dump(mode="json", exclude={"sketch", "memory_budget_gb", "device", "products"}),
            lambda writer, _scratch: write(writer),
            metadata.certificate,
        )

    return ot_potentials
