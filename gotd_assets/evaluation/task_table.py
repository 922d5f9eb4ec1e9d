"""What a labelled task came to, as text for tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def accuracy_gained(content: Mapping[str, Any], way: str, size: int) -> str:
    """The trained model's accuracy less the base model's, in points, with interval and p; empty for a single text."""
    gap = content["compared"].get(way, {}).get("accuracy_difference", {}).get(str(size))
    if gap is None:
        return ""
    told = f"{100 * gap['value']:+.1f} [{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}], p {gap['corrected']:.2g}"
    return told if gap["seeds"] > 1 else f"{told}, one seed"


def labels_saved(content: Mapping[str, Any], way: str, size: int) -> str:
    """Labels saved at equal accuracy, with the interval; empty for a single text."""
    saved = content["compared"].get(way, {}).get("labels_saved", {}).get(str(size))
    return "" if saved is None else f"{saved['value']:+.0f} [{saved['low']:+.0f}, {saved['high']:+.0f}]"
