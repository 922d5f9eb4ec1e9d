"""A document explained by what its selection was made from, also where newer artifacts exist."""

from __future__ import annotations

from typing import Any

import polars as pl

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.lineage import LineageStore
from gotd_assets.selection.analysis.explain import Explanation, explain, find_document
from gotd_assets.selection.relevance import relevant_sources
from gotd_assets.selection.subset import open_target
from gotd_assets.selection.transport_problem import problem_of
from gotd_assets.settings.project import Project


def explain_recorded(
    project: Project, document: str, target: str, method: str, selection: Artifact | None = None
) -> tuple[Explanation, dict[str, Any]]:
    """Where `document` stands in a selection for `target` by `method`, the current one by default; what lineage says of it.

    Scores, potentials and pool are those that the selection was made from, also if newer ones exist.

    Raises:
        SettingsError: there is no such target.
        InputError: no source holds the document, or the id fits several.
        ArtifactError: nothing was selected yet, or what it was selected from is gone from disk.
        TransportError: `transport.device` is not one of this machine.
    """
    from gotd_assets.transport import Potentials

    declared = project.settings.target(target)
    sources = [source.name for source in project.settings.sources]
    store = ArtifactStore.of(project)
    if selection is None:
        selection = store.current(ArtifactKey("selected_subset", f"{target}/{method}"))
    raw = {name: store.input_of(selection, ArtifactKey("raw_candidates", name)).path for name in sources}
    scores = store.input_of(selection, ArtifactKey("candidate_scores", target))
    target_frame, target_vectors = open_target(
        store.input_of(selection, ArtifactKey("target_documents", target)).path / "train",
        store.input_of(selection, ArtifactKey("target_embeddings", target)).path,
    )
    selectable = read_parquet(scores.file("scores.parquet")).join(
        read_parquet(scores.file("exclusions.parquet")), on="doc_id", how="anti"
    )
    found = find_document(document, raw)
    kept = _kept_sources(store, selection, target, declared.direction)
    if kept is not None:
        selectable = selectable.filter(pl.col("source").is_in(kept))
    away = declared.direction == "away" or method == "gotd-away"
    explanation = explain(
        found,
        scores=selectable,
        subset=read_parquet(selection.file("subset.parquet")),
        potentials=Potentials.load(
            store.input_of(selection, ArtifactKey("ot_potentials", target)).file("potentials.safetensors"),
            problem_of(project.settings.transport),
        ),
        embeddings={
            name: store.input_of(selection, ArtifactKey("candidate_embeddings", name)).path for name in sources
        },
        target=target_frame,
        target_vectors=target_vectors,
        sign=-1 if away else 1,
    )
    recorded = _recorded_reason(project, explanation, selection)
    if kept is not None and found.source not in kept:
        recorded["reason"] = (
            f"left out: source {found.source!r} is not among the {len(kept)} nearest to the target ({', '.join(kept)}); "
            "see selection.nearest_sources"
        )
    return explanation, recorded


def _kept_sources(store: ArtifactStore, selection: Artifact, target: str, direction: str) -> list[str] | None:
    """The sources that could be selected from, None for all."""
    nearest = selection.manifest.parameters.get("nearest_sources")
    if not isinstance(nearest, int):
        return None
    relevance = read_parquet(store.input_of(selection, ArtifactKey("domain_relevance", target)).file("sources.parquet"))
    distances = dict(relevance.select("source", "distance").iter_rows())
    return relevant_sources(distances, nearest, away=direction == "away")


def _recorded_reason(project: Project, explanation: Explanation, selection: Artifact) -> dict[str, Any]:
    """What lineage says about the document and this selection; empty if it says nothing."""
    answers = LineageStore(project.home.lineage).audit(
        "why_document", document=explanation.document.doc_id, selection=selection.version
    )
    rows = answers.to_dicts()
    return rows[0] if rows else {}
