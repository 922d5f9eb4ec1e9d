"""The check of scores: what of the pool is the target's own text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.defs.checks.check import Check
from gotd_assets.quality.contamination import pool_contamination

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding
    from gotd_assets.storage import Artifact


def _contamination(station: Station, artifact: Artifact) -> Finding:
    settings = station.project.settings
    return pool_contamination(
        artifact.manifest.summary,
        settings.checks.max_contamination_rate,
        looked_for=settings.duplicates.contamination,
    )


SCORES = (
    Check(
        "pool_contamination",
        "At most checks.max_contamination_rate of the candidates are text of the target, held-out or not. None of them "
        "can be selected; many of them mean that the target was taken from a source.",
        _contamination,
    ),
)
