"""Checks of documents as read, of candidates and of targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.defs.checks.check import Check
from gotd_assets.quality.documents import quarantine_rate, schema_and_counts

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding
    from gotd_assets.storage import Artifact


def _candidates(station: Station, artifact: Artifact) -> Finding:
    documents = int(str(artifact.manifest.summary["kept"]))
    return schema_and_counts([artifact.path], documents, station.project.settings.checks.min_documents)


def _target(_: Station, artifact: Artifact) -> Finding:
    summary = artifact.manifest.summary
    documents = int(str(summary["train_documents"])) + int(str(summary["heldout_documents"]))
    return schema_and_counts([artifact.path / "train", artifact.path / "heldout"], documents, 1)


def _quarantine(station: Station, artifact: Artifact) -> Finding:
    return quarantine_rate(artifact.manifest.summary, station.project.settings.checks.max_quarantine_rate)


_RATE = Check(
    "quarantine_rate",
    "At most checks.max_quarantine_rate of the records could not be used. Beyond it the files are not what they were "
    "thought to be.",
    _quarantine,
    blocking=True,
)
CANDIDATES = (
    Check(
        "schema_and_counts",
        "Every document has an id of its own, text and origin; there are as many as were reported, and at least "
        "checks.min_documents.",
        _candidates,
        blocking=True,
    ),
    _RATE,
)
TARGET = (
    Check(
        "schema_and_counts",
        "Every document has an id of its own, text and origin, on one side of the split only.",
        _target,
        blocking=True,
    ),
    _RATE,
)
