"""`gotd explain`: why a document was selected, or what would have to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gotd_assets.errors import ArtifactError
from gotd_assets.settings import Project
from gotd_assets.storage import Artifact, ArtifactKey, ArtifactStore

if TYPE_CHECKING:
    from gotd_assets.selection.explain import Explanation

_WIDTH = 110
_BY_GRADIENT = ("gotd", "gotd-away")


def explain(project: Project, document: str, target: str, method: str, console: Console) -> None:
    """Print where `document` stands in the current selection for `target` by `method`.

    Scores, potentials and pool are those that the selection was made from, also if newer ones exist.

    Raises:
        SettingsError: there is no such target.
        InputError: no source holds the document, or the id fits several.
        ArtifactError: nothing was selected yet, or what it was selected from is gone from disk.
    """
    import polars as pl

    from gotd_assets.selection import explain as room
    from gotd_assets.selection.subset import open_target
    from gotd_assets.transport import Potentials

    declared = project.settings.target(target)
    sources = [source.name for source in project.settings.sources]
    store = ArtifactStore(project.home / "artifacts")
    selection = store.current(ArtifactKey("selected_subset", f"{target}/{method}"))
    raw = {name: _input(store, selection, "raw_candidates", name).path for name in sources}
    scores = _input(store, selection, "candidate_scores", target)
    target_frame, target_vectors = open_target(
        _input(store, selection, "target_documents", target).path / "train",
        _input(store, selection, "target_embeddings", target).path,
    )
    selectable = pl.read_parquet(scores.file("scores.parquet")).join(
        pl.read_parquet(scores.file("exclusions.parquet")), on="doc_id", how="anti"
    )
    found = room.find_document(document, raw)
    kept = _kept_sources(store, selection, target, declared.direction)
    if kept is not None:
        selectable = selectable.filter(pl.col("source").is_in(kept))
    away = declared.direction == "away" or method == "gotd-away"
    explanation = room.explain(
        found,
        scores=selectable,
        subset=pl.read_parquet(selection.file("subset.parquet")),
        potentials=Potentials.load(_input(store, selection, "ot_potentials", target).file("potentials.safetensors")),
        embeddings={name: _input(store, selection, "candidate_embeddings", name).path for name in sources},
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
    _show(explanation, method, recorded, console)


def _kept_sources(store: ArtifactStore, selection: Artifact, target: str, direction: str) -> list[str] | None:
    """The sources that could be selected from, None for all."""
    nearest = selection.manifest.parameters.get("nearest_sources")
    if not isinstance(nearest, int):
        return None
    import polars as pl

    from gotd_assets.selection.relevance import relevant_sources

    relevance = pl.read_parquet(_input(store, selection, "domain_relevance", target).file("sources.parquet"))
    distances = dict(relevance.select("source", "distance").iter_rows())
    return relevant_sources(distances, nearest, away=direction == "away")


def _input(store: ArtifactStore, selection: Artifact, asset: str, partition: str) -> Artifact:
    """The version of an artifact that `selection` was made from."""
    key = ArtifactKey(asset, partition)
    version = selection.manifest.inputs.get(str(key))
    if version is None:
        raise ArtifactError(f"{selection.key} was not made from {key}: materialise selected_subset again")
    artifact = store.find(key, version)
    if artifact is None:
        raise ArtifactError(f"{key} version {version} is gone from disk: materialise {asset} and selected_subset again")
    return artifact


def _recorded_reason(project: Project, explanation: Explanation, selection: Artifact) -> dict[str, Any]:
    """What lineage says about the document and this selection; empty if it says nothing."""
    from gotd_assets.lineage import DATABASE, LineageStore

    answers = LineageStore(project.home / DATABASE).audit(
        "why_document", document=explanation.document.doc_id, selection=selection.version
    )
    rows = answers.to_dicts()
    return rows[0] if rows else {}


def _show(found: Explanation, method: str, recorded: dict[str, Any], console: Console) -> None:
    document = found.document
    console.rule(f"[bold]{document.doc_id}", align="left")
    console.print(f"{document.source}, {document.origin}", highlight=False, markup=False)
    console.print(Text(_short(document.text, 4 * _WIDTH)))
    console.print()
    for line in _standing(found, method, recorded):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print()
    pulls = Table("share of its mass", "share of target", "target document nearest to the point")
    pulls.title, pulls.title_justify = "what pulls it: its row of the transport plan", "left"
    for pull in found.pulls:
        pulls.add_row(f"{pull.share:.1%}", f"{pull.weight:.2%}", Text(_short(pull.text)))
    console.print(pulls)
    text, similarity = found.nearest_target
    console.print("nearest target document", f"(cosine {similarity:.3f}):", Text(_short(text)), highlight=False)
    if found.neighbours:
        near = Table("cosine", "rank", "doc_id", "text", title="nearest selected documents", title_justify="left")
        for neighbour in found.neighbours:
            near.add_row(
                f"{neighbour.similarity:.3f}", str(neighbour.rank), neighbour.doc_id[:12], Text(_short(neighbour.text))
            )
        console.print(near)


def _standing(found: Explanation, method: str, recorded: dict[str, Any]) -> list[str]:
    lines = []
    if found.rank is not None:
        lines.append(f"selected by {method}: number {found.rank:,} of {found.selected:,}")
    elif found.position is None:
        lines.append(str(recorded.get("reason") or "left out: not among the candidates that may be selected"))
        match = recorded.get("matched_doc_id")
        if match:
            lines.append(f"it repeats {match}; `gotd explain {match[:12]}` tells of that one where it is a candidate")
        lines.append(
            "to select it, that reason has to go (duplicates.*, the target's text, or the record of `gotd forget`)"
        )
    else:
        lines.append(f"not selected by {method}, which took {found.selected:,}")
    if recorded.get("forgotten_at"):
        lines.append(f"forgotten on {recorded['forgotten_at']:%Y-%m-%d}: it stays out of everything built since")
    if found.score is not None and found.position is not None and found.percentile is not None:
        lines.append(
            f"score {found.score:.6g} (negative helps); number {found.position:,} of {found.selectable:,} by score, "
            f"better than {found.percentile:.2f}% of them"
        )
        lines.append(f"score of the last one selected: {found.cut_gradient:.6g}")
    change = found.what_would_have_to_change()
    if change and method in _BY_GRADIENT:
        lines.append(f"to be selected it would need {change}")
    elif change:
        lines.append(f"{method} does not go by this score alone; by 'gotd' it would need {change}")
    return lines


def _short(text: str, width: int = _WIDTH) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
