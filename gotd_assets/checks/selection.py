"""A selection: its members, where they come from, and that none of them is evaluation text."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.checks.check import Check, CheckContext, Finding

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from gotd_assets.settings.texts import DuplicateSettings

_SHOWN = 3


def members(subset: Path, budget: int) -> Finding:
    """Whether the Parquet file `subset` holds `budget` distinct documents with text, ranked from 1 without gaps."""
    frame = read_parquet(subset)
    wrong = {
        f"{frame.height} documents were selected, {budget} asked for": frame.height != budget,
        "documents stand more than once": frame.get_column("doc_id").n_unique() != frame.height,
        f"{frame.get_column('text').null_count()} documents have no text": frame.get_column("text").null_count(),
        f"{frame.get_column('score').is_nan().sum()} scores are NaN": frame.get_column("score").is_nan().sum(),
        "ranks are not 1, 2, …": frame.get_column("rank").to_list() != list(range(1, frame.height + 1)),
    }
    problems = [sentence for sentence, count in wrong.items() if count]
    return Finding(
        not problems,
        "; ".join(problems) + ": materialise sources, scores and selection again"
        if problems
        else f"{frame.height:,} documents, each once and with its text",
        {"documents": frame.height},
    )


def no_evaluation_text(
    subset: Path, heldout: Path, duplicates: DuplicateSettings, scratch: Path, limit: int = 0
) -> Finding:
    """Whether at most `limit` selected documents are held-out text: a model trained on it is measured by what it saw.

    Looked for apart from what kept contaminated candidates out: equal texts, whatever their case and white space, and
    near-duplicates as `duplicates` defines them, also if `duplicates.contamination` is off.

    Args:
        subset: Parquet file with doc_id and text.
        heldout: folder of document shards, possibly without rows.
        duplicates: which texts count as near-duplicates.
        scratch: an existing folder for temporary files.
        limit: documents that may be.
    """
    from gotd_assets.corpus.duplicates.contamination import find_contamination
    from gotd_assets.corpus.shards import scan_documents

    chosen = read_parquet(subset, columns=["doc_id", "text"])
    evaluation = scan_documents(heldout).select("text").collect()
    same = _folded(chosen).is_in(_folded(evaluation).implode())
    found = {*chosen.filter(same).get_column("doc_id")}
    if duplicates.near and evaluation.height:
        shards = scratch / "selection"
        shards.mkdir(exist_ok=True)
        chosen.write_parquet(shards / "documents-00000.parquet")
        find_contamination(
            {"selection": shards},
            [heldout],
            duplicates.model_copy(update={"contamination": True}),
            scratch / "contamination.parquet",
        )
        found |= {*read_parquet(scratch / "contamination.parquet").get_column("doc_id")}
    figures: dict[str, float | int | str] = {"contaminated": len(found), "heldout_documents": evaluation.height}
    if len(found) <= limit:
        return Finding(True, f"{len(found)} of {chosen.height:,} selected documents are held-out text", figures)
    listed = ", ".join(sorted(found)[:_SHOWN])
    return Finding(
        False,
        f"{len(found)} of {chosen.height:,} selected documents are held-out text (checks.max_contaminated is {limit}): "
        f"{listed} …; set duplicates.contamination, or take them out of the pool with `gotd forget`",
        figures,
    )


def source_share(subset: Path, limit: float) -> Finding:
    """Whether no source makes up more than `limit` of the Parquet file `subset`."""
    frame = read_parquet(subset, columns=["source"])
    counts = frame.group_by("source").len().sort("len", "source", descending=[True, False])
    name, count = counts.row(0)
    share = count / frame.height
    figures: dict[str, float | int | str] = {"source": name, "share": share}
    if share <= limit:
        return Finding(True, f"the most common source, {name}, makes up {share:.1%}", figures)
    return Finding(
        False,
        f"{share:.1%} of the selection comes from {name}, more than checks.max_source_share ({limit:.1%}): look at the "
        "best documents; the target may be a source of its own, or the other sources too far away",
        figures,
    )


def _folded(frame: pl.DataFrame) -> pl.Series:
    return frame.get_column("text").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def _members(_: CheckContext, artifact: Artifact) -> Finding:
    # A budget may be something else than a number of documents; then the station says how many it came to.
    asked = str(artifact.manifest.parameters["budget"])
    documents = asked if asked.isdecimal() else str(artifact.manifest.summary["documents"])
    return members(artifact.file("subset.parquet"), int(documents))


def _no_evaluation_text(context: CheckContext, artifact: Artifact) -> Finding:
    settings = context.project.settings
    target = ArtifactKey("target_documents", (artifact.key.partition or "").split("/")[0])
    with tempfile.TemporaryDirectory(prefix="gotd-check-") as scratch:
        return no_evaluation_text(
            artifact.file("subset.parquet"),
            context.store.input_of(artifact, target).path / "heldout",
            settings.duplicates,
            Path(scratch),
            settings.checks.max_contaminated,
        )


def _source_share(context: CheckContext, artifact: Artifact) -> Finding:
    settings = context.project.settings
    # Of a pool of one source all of a selection is from it.
    limit = settings.checks.max_source_share if len(settings.sources) > 1 else 1.0
    return source_share(artifact.file("subset.parquet"), limit)


SELECTION = (
    Check("members", "As many documents as asked for, each once, with its text and rank.", _members, blocking=True),
    Check(
        "no_evaluation_text",
        "No selected document is held-out text of the target, exactly or nearly: a model trained on its own test looks "
        "better than it is.",
        _no_evaluation_text,
        blocking=True,
    ),
    Check("source_share", "No source makes up more than checks.max_source_share of the selection.", _source_share),
)
