"""A training: that its loss came down or stayed, and that MLflow and lineage tell the same story of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.checks.check import Check, CheckContext, Finding

_WINDOW = 0.1
_LEAST = 3


def loss_did_not_diverge(curve: Sequence[tuple[int, float]], limit: float) -> Finding:
    """Whether the loss is finite throughout and its end (mean of the last tenth) at most `limit` times its beginning.

    The mean is over three updates at least, or over half of them where there are fewer than six: the loss
    of a single batch says more of its documents than of the training.

    Args:
        curve: (step, loss in nats per token), in order.
        limit: largest allowed growth.
    """
    losses = [loss for _, loss in curve]
    bad = [step for step, loss in curve if not math.isfinite(loss)]
    if not losses or bad:
        where = f"is not finite at step {bad[0]}" if bad else "was never recorded"
        return Finding(False, f"the training loss {where}: lower training.learning_rate or set precision to float32")
    window = max(1, math.ceil(_WINDOW * len(losses)), min(_LEAST, len(losses) // 2))
    first, last = sum(losses[:window]) / window, sum(losses[-window:]) / window
    growth = last / first if first > 0 else 1.0
    figures: dict[str, float | int | str] = {"first_loss": first, "last_loss": last, "growth": growth}
    if growth <= limit:
        return Finding(True, f"the training loss went from {first:.3f} to {last:.3f}", figures)
    return Finding(
        False,
        f"the training loss grew from {first:.3f} to {last:.3f}, more than checks.max_loss_growth ({limit:g}) times: "
        "lower training.learning_rate",
        figures,
    )


def records_agree(
    recorded: Mapping[str, str], lineage: Mapping[str, str], tracking: Mapping[str, str] | None
) -> Finding:
    """Whether the model's own record, lineage and MLflow name the same run and the same selection.

    Args:
        recorded: what training.json says: mlflow_run_id, selection_version.
        lineage: what the lineage store says, the same keys; empty if it knows nothing of the model.
        tracking: what MLflow says of the run, the same keys and `status`; None if it has no such run.
    """
    problems = []
    if not lineage:
        problems.append("lineage has no record of this training: materialise the model again")
    if tracking is None:
        problems.append(f"MLflow has no run {recorded['mlflow_run_id']}: it was deleted, or tracking.uri changed")
    for key, value in recorded.items():
        for place, facts in (("lineage", lineage), ("MLflow", tracking or {})):
            if facts and facts.get(key) != value:
                problems.append(f"{place} has {key} {facts.get(key)}, the model {value}")
    if tracking is not None and tracking.get("status") != "FINISHED":
        problems.append(f"the MLflow run is {tracking.get('status')}, not FINISHED")
    return Finding(
        not problems,
        "; ".join(problems) if problems else "MLflow, lineage and the model's record agree",
        dict(recorded),
    )


def _loss(context: CheckContext, artifact: Artifact) -> Finding:
    curve = [(int(step), float(loss)) for step, loss in training_report(artifact)["loss_curve"]]
    return loss_did_not_diverge(curve, context.project.settings.checks.max_loss_growth)


def training_report(artifact: Artifact) -> dict[str, Any]:
    """What `training.json` says."""
    report: dict[str, Any] = artifact.json("training.json")
    return report


MODEL = (
    Check(
        "loss_did_not_diverge",
        "The loss is finite, and at the end at most checks.max_loss_growth times what it was at first.",
        _loss,
        blocking=True,
    ),
)
