"""Checks of a selection, the last ones before a training run reads it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.defs.checks.check import Check
from gotd_assets.quality.selection import members, no_evaluation_text, source_share

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding
    from gotd_assets.storage import Artifact


def _members(_: Station, artifact: Artifact) -> Finding:
    # A budget may be something else than a number of documents; then the station says how many it came to.
    asked = str(artifact.manifest.parameters["budget"])
    documents = asked if asked.isdecimal() else str(artifact.manifest.summary["documents"])
    return members(artifact.file("subset.parquet"), int(documents))


def _no_evaluation_text(station: Station, artifact: Artifact) -> Finding:
    settings = station.project.settings
    target = (station.key.partition or "").split("/")[0]
    with tempfile.TemporaryDirectory(prefix="gotd-check-") as scratch:
        return no_evaluation_text(
            artifact.file("subset.parquet"),
            station.read("target_documents", target).path / "heldout",
            settings.duplicates,
            Path(scratch),
            settings.checks.max_contaminated,
        )


def _source_share(station: Station, artifact: Artifact) -> Finding:
    return source_share(artifact.file("subset.parquet"), station.project.settings.checks.max_source_share)


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
