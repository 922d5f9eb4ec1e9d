"""The selection: the documents a model is pre-fine-tuned on."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, field_validator

from gotd_assets.defs import metadata
from gotd_assets.defs.automation import on_new_scores
from gotd_assets.defs.checks.registry import check_specs
from gotd_assets.defs.partitions import SelectionKey
from gotd_assets.defs.placement import Placement
from gotd_assets.defs.station import OWNERS, Made, Station
from gotd_assets.fingerprint import Json
from gotd_assets.settings import SelectionSettings, TargetSettings, canonical_budget
from gotd_assets.storage import Artifact, ArtifactWriter

if TYPE_CHECKING:
    import polars as pl

    from gotd_assets.embedding import KeptToxicity


def selected_subset(placement: Placement) -> dg.AssetsDefinition:
    """Build the asset."""
    defaults = placement.declared.settings.selection
    sources = [source.name for source in placement.declared.settings.sources]

    class SelectionRun(dg.Config):
        budget: str = Field(
            default=str(defaults.budget),
            description="What to select in this run: documents ('1000'), a share of the candidates ('2%'), tokens "
            "('50k tokens') or 'until-zero'.",
        )
        seed: int = Field(default=defaults.seed, ge=0, description="Seed of methods that draw at random.")

        @field_validator("budget")
        @classmethod
        def _budget_is_one(cls, value: str) -> str:
            return str(canonical_budget(value))

    @dg.asset(
        key=placement.key("selected_subset"),
        partitions_def=placement.partitions.selections,
        deps=[
            placement.every_source("raw_candidates"),
            placement.every_source("candidate_embeddings"),
            placement.key("candidate_pool"),
            placement.key("target_documents"),
            placement.key("target_embeddings"),
            placement.key("domain_relevance"),
            placement.key("ot_potentials"),
            placement.key("candidate_scores"),
        ],
        group_name=placement.group("selection"),
        kinds={"polars", "parquet"},
        check_specs=check_specs(placement.key("selected_subset")),
        owners=OWNERS,
        code_version="1",
        pool=placement.pool,
        automation_condition=on_new_scores(placement),
    )
    def selected_subset(context: dg.AssetExecutionContext, config: SelectionRun) -> Made:
        """The documents chosen for one target by one method, best first, as Parquet and JSONL.

        Each comes with its rank, its score and the target document nearest to it.
        """
        from gotd_assets.selection.methods import method_named

        key = SelectionKey.of(context)
        station = Station(context, placement, key.artifact_partition)
        settings = station.project.settings.selection
        method = method_named(key.method)
        direction = station.project.settings.target(key.target).direction
        budget = canonical_budget(config.budget)
        raw = station.read_all("raw_candidates", sources)
        embeddings = station.read_all("candidate_embeddings", sources)
        left_out = station.read("candidate_pool").file("left_out.parquet")
        documents = station.read("target_documents", key.target)
        vectors = station.read("target_embeddings", key.target)
        scores = station.read("candidate_scores", key.target)
        relevance = (
            station.read("domain_relevance", key.target)
            if "relevance" in method.needs or settings.nearest_sources is not None
            else None
        )
        potentials = station.read("ot_potentials", key.target)
        away = settings.away_target if "away_scores" in method.needs else None
        away_scores = station.read("candidate_scores", away) if away not in (None, key.target) else None
        shared = station.read_all("candidate_scores", _turns(settings, key.target) if "shared" in method.needs else ())
        toxicity = _toxicity(station) if "toxicity" in method.needs else None

        def write(writer: ArtifactWriter) -> None:
            import polars as pl

            from gotd_assets.selection.methods import SelectionProblem, select
            from gotd_assets.selection.pool import Pool, vectors_of
            from gotd_assets.selection.relevance import relevant_sources
            from gotd_assets.selection.stability import bootstrap_overlaps
            from gotd_assets.selection.subset import open_target, with_nearest_target, write_subset
            from gotd_assets.selection.summary import figures_of
            from gotd_assets.transport import Potentials

            target, target_vectors = open_target(documents.path / "train", vectors.path)
            selectable = _selectable(scores, shared.values())
            distances = _distances(relevance)
            if distances is not None and settings.nearest_sources is not None:
                kept = relevant_sources(distances, settings.nearest_sources, away=direction == "away")
                selectable = selectable.filter(pl.col("source").is_in(kept))
                station.log(f"selecting from the nearest sources only: {', '.join(kept)}", always=True)
            problem = SelectionProblem(
                scores=selectable,
                pool=Pool.open({name: artifact.path for name, artifact in embeddings.items()}, left_out),
                target=target_vectors,
                budget=budget,
                seed=config.seed,
                direction=direction,
                settings=settings,
                documents={name: artifact.path for name, artifact in raw.items()},
                target_texts=target.get_column("text"),
                potentials=Potentials.load(potentials.file("potentials.safetensors")),
                relevance=distances,
                away_scores=None if away_scores is None else pl.read_parquet(away_scores.file("scores.parquet")),
                shared={
                    name: _signed(artifact, station.project.settings.target(name)) for name, artifact in shared.items()
                },
                toxicity=toxicity,
            )
            ranking = select(key.method, problem).join(problem.scores.select("doc_id", "source"), on="doc_id")
            chosen = vectors_of(ranking.get_column("doc_id"), problem.pool)
            ranking = with_nearest_target(ranking, chosen, problem.target, target)
            subset = write_subset(ranking, problem.documents, writer.path)
            writer.summary.update(figures_of(subset, chosen, problem))
            if method.resampled and settings.stability_resamples:
                overlaps = bootstrap_overlaps(
                    key.method,
                    problem,
                    subset.get_column("doc_id"),
                    station.project.settings.transport.sketch,
                    settings.stability_resamples,
                    progress=station.log,
                )
                writer.summary["bootstrap_overlap"] = sum(overlaps) / len(overlaps)

        return station.make(
            {
                "method": key.method,
                "direction": direction,
                "budget": budget,
                "seed": config.seed,
                **_parameters(settings, method.settings, budget),
            },
            lambda writer, _scratch: write(writer),
            lambda artifact: metadata.selection(artifact, scores),
            lambda artifact, record: dataclasses.replace(record, members=artifact.file("subset.parquet")),
        )

    return selected_subset


def _parameters(settings: SelectionSettings, names: tuple[str, ...], budget: int | str) -> dict[str, Json]:
    """The settings that shape this selection, and no others: changing DSIR's leaves GOT-D's selection as it is."""
    shaping = {*names}
    if str(budget).endswith("tokens"):
        shaping.add("characters_per_token")
    if settings.nearest_sources is not None:
        shaping.add("nearest_sources")
    return settings.model_dump(mode="json", include=shaping)


def _selectable(scores: Artifact, others: Iterable[Artifact]) -> "pl.DataFrame":
    """Candidates of `scores` that no target excludes: what is selected for several must be held-out text of none."""
    import polars as pl

    selectable = pl.read_parquet(scores.file("scores.parquet"))
    for scored in [scores, *others]:
        excluded = pl.read_parquet(scored.file("exclusions.parquet"))
        selectable = selectable.join(excluded, on="doc_id", how="anti")
    return selectable


def _toxicity(station: Station) -> "KeptToxicity":
    """The project's classifier, which becomes an input."""
    from gotd_assets.embedding import KeptToxicity, toxicity_version

    project = station.project
    settings = project.settings.toxicity
    station.depend_on({"toxicity": toxicity_version(settings, project.root)})
    return KeptToxicity(settings, project.root, project.home / "cache" / "toxicity")


def _turns(settings: SelectionSettings, target: str) -> list[str]:
    """Targets that share the budget with `target`, itself among them."""
    names = settings.round_robin
    return names if target in names else [target, *names]


def _signed(scores: Artifact, target: TargetSettings) -> "pl.DataFrame":
    """doc_id and score, low for what helps in the target's direction."""
    import polars as pl

    sign = -1 if target.direction == "away" else 1
    return pl.read_parquet(scores.file("scores.parquet")).select("doc_id", pl.col("score") * sign)


def _distances(relevance: Artifact | None) -> Mapping[str, float] | None:
    if relevance is None:
        return None
    import polars as pl

    return dict(pl.read_parquet(relevance.file("sources.parquet")).select("source", "distance").iter_rows())
