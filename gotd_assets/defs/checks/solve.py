"""Checks of a solve, by its certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.defs.checks.check import Check
from gotd_assets.quality.solve import duality_gap, marginal_error

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding
    from gotd_assets.storage import Artifact


def _marginal(station: Station, artifact: Artifact) -> Finding:
    return marginal_error(artifact.manifest.summary, station.project.settings.checks.max_marginal_error)


def _gap(station: Station, artifact: Artifact) -> Finding:
    return duality_gap(artifact.manifest.summary, station.project.settings.checks.max_relative_gap)


POTENTIALS = (
    Check(
        "marginal_error",
        "The plan's marginal is the target's, within checks.max_marginal_error. Else scores are for another target.",
        _marginal,
        blocking=True,
    ),
    Check(
        "duality_gap",
        "Lower and upper bound of the transport cost are within checks.max_relative_gap of each other.",
        _gap,
    ),
)
