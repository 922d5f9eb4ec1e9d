"""How much of the pool is text of the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gotd_assets.quality.finding import Finding


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
