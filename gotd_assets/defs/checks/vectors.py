"""The check of embeddings, of candidates and of targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.defs.checks.check import Check
from gotd_assets.quality.vectors import usable_vectors

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding
    from gotd_assets.storage import Artifact


def _usable(station: Station, artifact: Artifact) -> Finding:
    documents = int(str(artifact.manifest.summary["documents"]))
    return usable_vectors(artifact.path, station.project.settings.encoder.normalize, documents)


VECTORS = (
    Check(
        "usable_vectors",
        "No vector holds NaN or is zero, and there is one for each document. One NaN spoils a whole transport problem.",
        _usable,
        blocking=True,
    ),
)
