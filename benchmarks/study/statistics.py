"""Means with intervals, and overlaps of selections."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over seeds with its 95 % interval by Student's t; `half_width` is None for a single seed."""

    value: float
    half_width: float | None
    count: int


def mean_of(values: Sequence[float]) -> Mean:
    """Mean of at least one value."""
    from scipy.stats import t

    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return Mean(float(array.mean()), None, len(array))
    error = float(array.std(ddof=1)) / np.sqrt(len(array))
    return Mean(float(array.mean()), float(t.ppf((1 + _CONFIDENCE) / 2, len(array) - 1) * error), len(array))


def mean_overlap(selections: Sequence[Sequence[str]]) -> float | None:
    """Mean share of documents that two selections of the same size have in common, over all pairs; None for one."""
    sets = [set(selection) for selection in selections]
    shares = [
        len(left & right) / max(1, min(len(left), len(right)))
        for position, left in enumerate(sets)
        for right in sets[:position]
    ]
    return float(np.mean(shares)) if shares else None
