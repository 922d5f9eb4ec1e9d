"""The selection: the documents a model is pre-fine-tuned on."""

import dataclasses

import dagster as dg
from pydantic import Field

from gotd_assets.defs import metadata
from gotd_assets.defs.automation import ON_NEW_SCORES
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.partitions import Partitions, SelectionKey, every_source
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.settings import Project
from gotd_assets.storage import ArtifactWriter


def selected_subset(declared: Project, partitions: Partitions) -> dg.AssetsDefinition:
    """Build the asset."""
    defaults = declared.settings.selection
    sources = [source.name for source in declared.settings.sources]

    class SelectionRun(dg.Config):
        budget: int = Field(default=defaults.budget, ge=1, description="Documents to select in this run.")
        seed: int = Field(default=defaults.seed, ge=0, description="Seed of methods that draw at random.")

    @dg.asset(
        partitions_def=partitions.selections,
        deps=[
            every_source("raw_candidates"),
            every_source("candidate_embeddings"),
            "candidate_pool",
            "target_documents",
            "target_embeddings",
            "candidate_scores",
        ],
        group_name="selection",
        kinds={"polars", "parquet"},
        check_specs=check_specs("selected_subset"),
        owners=OWNERS,
        code_version="1",
        pool="compute",
        automation_condition=ON_NEW_SCORES,
    )
    def selected_subset(context: dg.AssetExecutionContext, config: SelectionRun, project: ProjectResource) -> Made:
        """The documents chosen for one target by one method, best first, as Parquet and JSONL.

        Each comes with its rank, its score and the target document nearest to it.
        """
        key = SelectionKey.of(context)
        station = Station(context, project, key.artifact_partition)
        direction = station.project.settings.target(key.target).direction
        raw = station.read_all("raw_candidates", sources)
        embeddings = station.read_all("candidate_embeddings", sources)
        left_out = station.read("candidate_pool").file("left_out.parquet")
        documents = station.read("target_documents", key.target)
        vectors = station.read("target_embeddings", key.target)
        scores = station.read("candidate_scores", key.target)

        def write(writer: ArtifactWriter) -> None:
            import polars as pl

            from gotd_assets.corpus import scan_documents
            from gotd_assets.embedding import open_vectors
            from gotd_assets.selection.methods import SelectionProblem, method_for, select
            from gotd_assets.selection.pool import Pool, vectors_of
            from gotd_assets.selection.subset import with_nearest_target, write_subset

            target = scan_documents(documents.path / "train").select("doc_id", "text").collect()
            target_shards = open_vectors(vectors.path)
            target = target.filter(pl.col("doc_id").is_in(target_shards.all_doc_ids().implode()))
            problem = SelectionProblem(
                scores=pl.read_parquet(scores.file("scores.parquet")).join(
                    pl.read_parquet(scores.file("exclusions.parquet")), on="doc_id", how="anti"
                ),
                pool=Pool.open({name: artifact.path for name, artifact in embeddings.items()}, left_out),
                target=vectors_of(target.get_column("doc_id"), target_shards),
                budget=config.budget,
                seed=config.seed,
            )
            ranking = select(method_for(key.method, direction), problem).join(
                problem.scores.select("doc_id", "source"), on="doc_id"
            )
            ranking = with_nearest_target(
                ranking, vectors_of(ranking.get_column("doc_id"), problem.pool), problem.target, target
            )
            subset = write_subset(ranking, {name: artifact.path for name, artifact in raw.items()}, writer.path)
            shares = subset.group_by("source").len().sort("source")
            writer.summary.update(
                documents=subset.height,
                characters=int(subset.get_column("text").str.len_chars().sum()),
                per_source=dict(zip(shares["source"].to_list(), shares["len"].to_list(), strict=True)),
            )

        return station.make(
            {"method": key.method, "direction": direction, **config.model_dump()},
            lambda writer, _scratch: write(writer),
            metadata.selection,
            lambda artifact, record: dataclasses.replace(record, members=artifact.file("subset.parquet")),
        )

    return selected_subset
