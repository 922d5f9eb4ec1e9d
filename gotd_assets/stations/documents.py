"""What stations that read text say of it."""

from __future__ import annotations

from collections.abc import Mapping

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.catalogue.shown import ROW_COUNT, Markdown, Shown, count, figures
from gotd_assets.catalogue.tables import pair_table


def described_reading(artifact: Artifact) -> dict[str, Shown]:
    """Counts of what was read, what was left out and why, and how long the texts are."""
    from gotd_assets.catalogue import plots

    summary = artifact.manifest.summary
    shown: dict[str, Shown] = {}
    lengths = summary.get("length_histogram")
    if isinstance(lengths, Mapping):
        shown["length"] = Markdown(plots.histogram(lengths, "characters"))
    reasons = summary.get("quarantined_by_reason")
    if isinstance(reasons, Mapping) and reasons:
        shown["quarantine"] = pair_table("reason", "records", reasons)
        shown["quarantine_file"] = artifact.path / "quarantine.jsonl"
    first = (
        "train_documents",
        "heldout_documents",
        "read",
        "kept",
        "quarantined",
        "too_short",
        "duplicates",
        "filtered",
    )
    return shown | figures(artifact, *first) | {ROW_COUNT: count(artifact, "kept")}
