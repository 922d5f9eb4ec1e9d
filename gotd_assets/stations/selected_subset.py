"""The selection: the documents a model is pre-fine-tuned on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.parquet import read_parquet, scan_parquet
from gotd_assets.artifacts.store import ArtifactStore, ArtifactWriter
from gotd_assets.catalogue.columns import DOCUMENT_COLUMNS, Origin, Table
from gotd_assets.catalogue.shown import ROW_COUNT, Description, Markdown, Percent, Shown, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.checks import selection as checks
from gotd_assets.fingerprint import Json
from gotd_assets.lineage import Materialisation
from gotd_assets.settings.project import Project, Settings
from gotd_assets.settings.selection import Budget, SelectionSettings
from gotd_assets.settings.texts import TargetSettings
from gotd_assets.stations import first_look
from gotd_assets.stations.engine import engine_of
from gotd_assets.stations.language_model import base_model_of, shaping, with_base_model
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.reads import Each, One
from gotd_assets.stations.station import SELECTION_VERSION, Condition, Follows, Recipe, Station
from gotd_assets.stations.work import Work

if TYPE_CHECKING:
    from gotd_assets.models.toxicity import KeptToxicity
    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.selection.scored import Scored


def _target_to_avoid(settings: Settings, partition: Partition) -> list[str]:
    from gotd_assets.selection.methods import method_named

    away = settings.selection.away_target
    needed = "away_scores" in method_named(str(partition.method)).needs
    return [away] if needed and away not in (None, partition.target) else []


def _targets_in_turn(settings: Settings, partition: Partition) -> list[str]:
    """Targets that share the budget, the partition's own among them."""
    from gotd_assets.selection.methods import method_named

    if "shared" not in method_named(str(partition.method)).needs:
        return []
    names, own = settings.selection.round_robin, partition.own_target
    return names if own in names else [own, *names]


_DOCUMENTS = Each("raw_candidates")
_EMBEDDINGS = Each("candidate_embeddings")
_POOL = One("candidate_pool")
_TARGET = One("target_documents")
_TARGET_EMBEDDINGS = One("target_embeddings")
_RELEVANCE = One("domain_relevance")
_POTENTIALS = One("ot_potentials")
_SCORES = One("candidate_scores")
_SCORES_TO_AVOID = Each("candidate_scores", targets=_target_to_avoid)
_SCORES_IN_TURN = Each("candidate_scores", targets=_targets_in_turn)


def selected_subset(work: Work) -> Recipe:
    """The documents chosen for one target by one method, best first, as Parquet and JSONL.

    Each comes with its rank, its score and the target document nearest to it.
    """
    from gotd_assets.selection.methods import method_named

    settings = work.settings.selection
    name = str(work.partition.method)
    method = method_named(name)
    direction = work.settings.target(work.partition.own_target).direction
    raw = work.open(_DOCUMENTS)
    embeddings = work.open(_EMBEDDINGS)
    pool = work.open(_POOL)
    documents = work.open(_TARGET)
    vectors = work.open(_TARGET_EMBEDDINGS)
    scores = work.open(_SCORES)
    by_source = "relevance" in method.needs or settings.nearest_sources is not None
    distances_of = work.open(_RELEVANCE) if by_source else None
    potentials = work.open(_POTENTIALS)
    away_scores = next(iter(work.open(_SCORES_TO_AVOID).values()), None)
    shared = work.open(_SCORES_IN_TURN)
    toxicity = _toxicity(work) if "toxicity" in method.needs else None
    asked = base_model_of(work) if {"states", "loss_drops", "gradients"} & method.needs else None

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.selection.analysis.summary import figures_of
        from gotd_assets.selection.methods import SelectionProblem, select
        from gotd_assets.selection.pool.pool import Pool, vectors_of
        from gotd_assets.selection.relevance import relevant_sources
        from gotd_assets.selection.subset import open_target, with_nearest_target, write_subset
        from gotd_assets.selection.transport_problem import problem_of
        from gotd_assets.transport import Potentials

        target, target_vectors = open_target(documents.path / "train", vectors.path)
        scored = _scored(scores, shared.values())
        distances = _distances(distances_of)
        if distances is not None and settings.nearest_sources is not None:
            kept = relevant_sources(distances, settings.nearest_sources, away=direction == "away")
            scored = dataclasses.replace(scored, sources=tuple(kept))
            work.log(f"selecting from the nearest sources only: {', '.join(kept)}", always=True)
        by_part = method.by_part and Budget.parse(settings.budget).kind != "tokens"
        problem = SelectionProblem(
            scores=scored.of(pl.Series([], dtype=pl.String)) if by_part else scored.frame(),
            scored=scored if by_part else None,
            pool=Pool.of(embeddings, pool),
            target=target_vectors,
            budget=settings.budget,
            seed=settings.seed,
            direction=direction,
            settings=settings,
            documents={source: artifact.path for source, artifact in raw.items()},
            target_texts=target.get_column("text"),
            potentials=Potentials.load(potentials.file("potentials.safetensors"), problem_of(work.settings.transport)),
            relevance=distances,
            away_scores=None if away_scores is None else read_parquet(away_scores.file("scores.parquet")),
            shared={other: _signed(artifact, work.settings.target(other)) for other, artifact in shared.items()},
            toxicity=toxicity,
        )
        problem = with_base_model(problem, asked, method.needs, work)
        with engine_of(work) as engine:
            ranking = select(name, dataclasses.replace(problem, engine=engine))
        if by_part:
            problem = dataclasses.replace(problem, scores=scored.of(ranking.get_column("doc_id")))
        ranking = ranking.join(problem.scores.select("doc_id", "source"), on="doc_id")
        chosen = vectors_of(ranking.get_column("doc_id"), problem.pool)
        ranking = with_nearest_target(ranking, chosen, problem.target, target)
        subset = write_subset(ranking, problem.documents, writer.path)
        writer.summary.update(figures_of(subset, chosen, problem))
        writer.summary.update(_overlaps(name, problem, subset.get_column("doc_id"), work))

    def record(artifact: Artifact, materialisation: Materialisation) -> Materialisation:
        return dataclasses.replace(materialisation, members=artifact.file("subset.parquet"))

    return Recipe(
        {
            "method": name,
            "direction": direction,
            "budget": settings.budget,
            "seed": settings.seed,
            **_parameters(settings, method.settings),
            **({"method_code": method.code} if method.code > 1 else {}),
            **({} if asked is None else {"training": shaping(asked, method.needs)}),
        },
        write,
        lambda artifact: _described(artifact, scores),
        record,
    )


def _parameters(settings: SelectionSettings, names: tuple[str, ...]) -> dict[str, Json]:
    """The settings that shape this selection, and no others: changing DSIR's leaves GOT-D's selection as it is."""
    shaping = {*names}
    if str(settings.budget).endswith("tokens"):
        shaping.add("characters_per_token")
    if settings.nearest_sources is not None:
        shaping.add("nearest_sources")
    return {name: value for name, value in settings.shaping().items() if name in shaping}


def _overlaps(name: str, problem: SelectionProblem, chosen: pl.Series, work: Work) -> dict[str, Json]:
    """How much would be selected again with all of the target instead of its sketch, and with other samples of it."""
    from gotd_assets.selection.analysis.stability import bootstrap_overlaps, sketch_overlap
    from gotd_assets.selection.methods import method_named

    method, found = method_named(name), dict[str, Json]()
    if method.gradient == "ranks":
        found["sketch_overlap"] = sketch_overlap(name, problem, chosen)
    resamples = work.settings.selection.stability_resamples
    if method.resampled and resamples:
        overlaps = bootstrap_overlaps(
            name, problem, chosen, work.settings.transport.sketch, resamples, progress=work.log
        )
        found["bootstrap_overlap"] = sum(overlaps) / len(overlaps)
    return found


def _scored(scores: Artifact, others: Iterable[Artifact]) -> Scored:
    """Candidates of `scores` that no target excludes: what is selected for several must be held-out text of none."""
    from gotd_assets.selection.scored import Scored

    files = [scored.file("exclusions.parquet") for scored in (scores, *others)]
    excluded = pl.concat(read_parquet(path, columns=["doc_id"]) for path in files).unique()
    return Scored(scores.file("scores.parquet"), excluded)


def _toxicity(work: Work) -> KeptToxicity:
    """The project's classifier, which becomes an input."""
    from gotd_assets.models.toxicity import KeptToxicity, toxicity_version

    settings = work.settings.toxicity
    work.depend_on({"toxicity": toxicity_version(settings, work.root)})
    return KeptToxicity(settings, work.root, work.project.home.toxicity)


def _signed(scores: Artifact, target: TargetSettings) -> pl.DataFrame:
    """doc_id and score, low for what helps in the target's direction."""
    sign = -1 if target.direction == "away" else 1
    return read_parquet(scores.file("scores.parquet")).select("doc_id", pl.col("score") * sign)


def _distances(relevance: Artifact | None) -> Mapping[str, float] | None:
    if relevance is None:
        return None
    return dict(read_parquet(relevance.file("sources.parquet")).select("source", "distance").iter_rows())


def _described(artifact: Artifact, scored: Artifact) -> Description:
    """The best documents, where they stand among all that were `scored`, and where they come from."""
    from gotd_assets.catalogue import plots

    all_scores = scan_parquet(scored.file("scores.parquet"))
    scores = all_scores.select("score").collect().get_column("score")
    frame = read_parquet(artifact.file("subset.parquet"))
    chosen = frame.select("doc_id").lazy()
    selected = all_scores.join(chosen, on="doc_id", how="semi").select("score").collect(engine="streaming")
    candidates = all_scores.group_by("source").len().sort("source").collect(engine="streaming")
    best = frame.head(5)
    shown: dict[str, Shown] = {
        "best": frame_table(best.select("text", "nearest_target_text", "score")),
    }
    if selected.height:
        cut = plots.scores_with_cut(scores, selected.get_column("score"))
        shown["scores"] = Markdown(cut)
    shown["sources"] = Markdown(plots.shares(_shares(candidates), _shares(_counts(frame))))
    summary: Mapping[str, Any] = artifact.manifest.summary
    curve, clusters = summary.get("budget_curve"), summary.get("cluster_shares")
    if curve:
        points = [[float(x), float(y)] for x, y in curve]
        shown["budget_curve"] = Markdown(plots.budget_curves({"selection": points}))
    if clusters:
        shown["target_clusters_served"] = frame_table(pl.DataFrame(clusters))
    return {
        **shown,
        **figures(
            artifact,
            "documents",
            "selected_helping",
            "selectable_helping",
            "cut_score",
            "mean_gradient",
            "target_clusters_covered",
            "target_clusters",
            Percent("near_duplicate_share"),
            Percent("bootstrap_overlap"),
            Percent("sketch_overlap"),
        ),
        "parquet": artifact.file("subset.parquet"),
        "jsonl": artifact.file("subset.jsonl"),
        ROW_COUNT: frame.height,
    }


def _counts(documents: pl.DataFrame) -> pl.DataFrame:
    return documents.group_by("source", maintain_order=True).len()


def _shares(counts: pl.DataFrame) -> dict[str, float]:
    return dict(counts.with_columns(pl.col("len") / pl.col("len").sum()).iter_rows())


def _ranked_by(artifact: Artifact) -> dict[str, tuple[Origin, ...]]:
    """What a selection's ranks and scores were made of, which depends on its method."""
    from gotd_assets.selection.methods import method_named

    made_of = method_named(str(artifact.manifest.parameters["method"])).made_of
    return {"rank": made_of, "score": made_of}


def _classifier(project: Project, partition: Partition) -> None:
    """The classifier's files, if the method asks it."""
    from gotd_assets.selection.methods import method_named

    if "toxicity" in method_named(str(partition.method)).needs:
        first_look.classifier(project, partition)


def _other_scores_are_newer(_: Project, store: ArtifactStore, partition: Partition) -> bool:
    from gotd_assets.watch.stale_scores import reads_stale_scores

    return reads_stale_scores(store, str(partition.name))


STATION = Station(
    prepare=selected_subset,
    verb="select",
    division="selection",
    group="selection",
    kinds=frozenset({"polars", "parquet"}),
    code_version="1",
    looks=(_classifier, first_look.method_s_model),
    reads=(
        _DOCUMENTS,
        _EMBEDDINGS,
        _POOL,
        _TARGET,
        _TARGET_EMBEDDINGS,
        _RELEVANCE,
        _POTENTIALS,
        _SCORES,
        _SCORES_TO_AVOID,
        _SCORES_IN_TURN,
    ),
    checks=checks.SELECTION,
    table=Table(
        "subset.parquet",
        {
            **DOCUMENT_COLUMNS,
            "rank": "Place in the selection; 1 is best.",
            "score": "What the method ranked by; lower is better.",
            "reason": "Why the method took it, in a few words.",
            "step": "Step of the method in which it was taken.",
            "nearest_target": "doc_id of the target document nearest to it.",
            "nearest_target_text": "Text of that document.",
            "nearest_target_similarity": "Cosine similarity of the two.",
        },
        {
            "nearest_target": [
                ("target_documents", "doc_id"),
                ("candidate_embeddings", "vector"),
                ("target_embeddings", "vector"),
            ],
            "nearest_target_text": [("target_documents", "text")],
            "nearest_target_similarity": [("candidate_embeddings", "vector"), ("target_embeddings", "vector")],
        },
        carried="raw_candidates",
        also=_ranked_by,
    ),
    is_heavy=True,
    launchpad=("selection.budget", "selection.seed"),
    follows=Follows(
        lambda _: "candidate_scores",
        "new scores",
        # No partition mapping says so: which other targets a selection reads depends on its method and on settings.
        also=Condition(
            "reads_stale_scores",
            "scores of another target that the selection was made with (away_target, round_robin) were made anew",
            _other_scores_are_newer,
        ),
    ),
    version_tag=SELECTION_VERSION,
)
