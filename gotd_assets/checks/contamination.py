"""How much of the pool is text of the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.checks.check import Check, CheckContext, Finding


def pool_contamination(summary: Mapping[str, Any], limit: float, *, looked_for: bool) -> Finding:
    """Whether at most the share `limit` of the candidates is, exactly or nearly, text of the target.

    Args:
        summary: of the scores: candidates, contaminated.
        limit: largest allowed share.
        looked_for: whether such candidates were looked for at all.
    """
    if not looked_for:
        return Finding(
            False,
            "text of the target among the candidates was not looked for: set duplicates.contamination, or rely on the "
            "selection's own check of held-out text",
        )
    candidates, found = int(summary["candidates"]), int(summary["contaminated"])
    share = found / max(candidates, 1)
    figures: dict[str, float | int | str] = {"contaminated": found, "share": share}
    said = (
        f"{found:,} of {candidates:,} candidates are text of the target, held-out or not; none of them can be selected"
    )
    if share <= limit:
        return Finding(True, said, figures)
    return Finding(
        False,
        f"{said}. That is more than checks.max_contamination_rate ({limit:.1%}): the target may have been taken from a "
        "source; name files that the sources do not have",
        figures,
    )


def _contamination(context: CheckContext, artifact: Artifact) -> Finding:
    settings = context.project.settings
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
