"""The check of a training, by its loss curve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gotd_assets.defs.checks.check import Check
from gotd_assets.quality.training import loss_did_not_diverge

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding
    from gotd_assets.storage import Artifact


def _loss(station: Station, artifact: Artifact) -> Finding:
    curve = [(int(step), float(loss)) for step, loss in training_report(artifact)["loss_curve"]]
    return loss_did_not_diverge(curve, station.project.settings.checks.max_loss_growth)


def training_report(artifact: Artifact) -> dict[str, Any]:
    """What `training.json` says."""
    report: dict[str, Any] = json.loads(artifact.file("training.json").read_text(encoding="utf-8"))
    return report


MODEL = (
    Check(
        "loss_did_not_diverge",
        "The loss is finite, and at the end at most checks.max_loss_growth times what it was at first.",
        _loss,
        blocking=True,
    ),
)
