"""A score for every candidate."""

import dataclasses

import dagster as dg

from gotd_assets.defs import metadata
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.storage import ArtifactWriter


def candidate_scores(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    sources = [source.name for source in placement.declared.settings.sources]

    @dg.asset(
        key=placement.key("candidate_scores"),
        partitions_def=placement.partitions.targets,
        deps=[
            placement.every_source("raw_candidates"),
            placement.every_source("candidate_embeddings"),
            placement.key("candidate_pool"),
            placement.key("target_documents"),
            placement.key("ot_potentials"),
        ],
        group_name=placement.group("transport"),
        kinds={"pytorch", "parquet"},
        check_specs=check_specs(placement.key("candidate_scores")),
        owners=OWNERS,
        code_version="2",
        pool=placement.pool,
    )
    def candidate_scores(context: dg.AssetExecutionContext) -> Made:
        """The calibrated gradient of the transport cost at every candidate.

        Negative: adding this document to the training data brings the pool closer to the target. Candidates that
        duplicate target or held-out text are listed beside and cannot be selected for this target.
        """
        station = Station(context, placement, context.partition_key)
        settings = station.project.settings.duplicates
        direction = station.project.settings.target(context.partition_key).direction
        raw = station.read_all("raw_candidates", sources)
        embeddings = station.read_all("candidate_embeddings", sources)
        left_out = station.read("candidate_pool").file("left_out.parquet")
        target = station.read("target_documents", context.partition_key)
        potentials = station.read("ot_potentials", context.partition_key)

        def write(writer: ArtifactWriter) -> None:
            from gotd_assets.corpus import find_contamination
            from gotd_assets.selection.pool import Pool
            from gotd_assets.selection.scoring import write_scores
            from gotd_assets.transport import Potentials

            pool = Pool.open({name: artifact.path for name, artifact in embeddings.items()}, left_out)
            solved = Potentials.load(potentials.file("potentials.safetensors"))
            summary = write_scores(pool, solved, writer.path / "scores.parquet", progress=station.log)
            writer.summary.update(summary.as_summary())
            contamination = find_contamination(
                {name: artifact.path for name, artifact in raw.items()},
                [target.path / "train", target.path / "heldout"],
                settings,
                writer.path / "exclusions.parquet",
                progress=station.show,
            )
            writer.summary["contaminated"] = contamination.found
            writer.summary["contamination"] = contamination.as_summary()

        return station.make(
            {"contamination": settings.model_dump(mode="json")},
            lambda writer, _scratch: write(writer),
            metadata.scores,
            lambda artifact, record: dataclasses.replace(
                record,
                scores=artifact.file("scores.parquet"),
                best_scores="highest" if direction == "away" else "lowest",
                exclusions=artifact.file("exclusions.parquet"),
            ),
        )

    return candidate_scores
