"""What stations that read text say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.catalogue.shown import ROW_COUNT, Markdown, Shown, count, figures
from gotd_assets.catalogue.tables import frame_table, pair_table

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.stations.work import Work

# As many places are told in one line of the log.
_TOLD = 10


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
    for title in ("damaged", "left_out"):
        places = _named(summary.get(title))
        if places is not None:
            shown[title] = places
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


def warn_of_loss(summary: Mapping[str, Json], work: Work) -> None:
    """Tell in the log what could not be read of damaged files, and which files were left out."""
    for title, what in (("damaged", "damaged, partly lost"), ("left_out", "left out")):
        part = summary.get(title)
        named = part.get("named") if isinstance(part, Mapping) else None
        if isinstance(part, Mapping) and isinstance(named, list):
            places = [place for place in named if isinstance(place, Mapping)]
            listed = "; ".join(
                f"{place.get('path', place.get('file'))} ({place['reason']})" for place in places[:_TOLD]
            )
            more = f"; and {int(str(part['places'])) - _TOLD} more" if int(str(part["places"])) > _TOLD else ""
            work.warn(f"{what}: {listed}{more}")


def _named(part: Json) -> Markdown | None:
    """What is named in a part of the summary, as a table."""
    if not isinstance(part, Mapping):
        return None
    named = part["named"]
    rows = [{name: str(value) for name, value in place.items()} for place in named] if isinstance(named, list) else []
    table = frame_table(pl.DataFrame(rows))
    return Markdown(f"{part['places']} in all\n\n{table.text}")
