"""Means, intervals and p-values: the one place where differences are judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds and items (documents, prompts, texts), with its interval and what speaks against zero.

    Attributes:
        value: the mean.
        low, high: its 95 % interval. With one seed it is of other items alone: nothing is known about another seed.
        p: the level at which the interval would just touch zero.
        seeds, items: what it is a mean of.
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int
    items: int


def two_way_mean(values: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None) -> Estimate:
    """The weighted mean of `values` (seeds, items), each seed and each item being one of many that might have been.

    The variance of the mean is v_seed + v_item − v_rest: of the means of seeds, of the means of items, and of what is left
    of single values, which both contain. The half-width of the interval is

        √( t²(S−1)·v_seed + t²(D−1)·max(v_item − v_rest, 0) )

    since so few seeds need a wider quantile than so many items; and not less than what single values alone leave unsure,
    t((S−1)(D−1))·√v_rest: of counts, which are often equal in all seeds, both terms can be zero by chance. One seed says nothing
    of v_seed: the interval is then of items alone. p is the level whose half-width is the distance from zero.

    Args:
        values: per unit of weight, such as nats per token.
        weights: (items,), such as tokens; equal by default.

    Raises:
        ValueError: there is no seed, or fewer than two items.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    table = np.asarray(values, dtype=np.float64)
    seeds, items = table.shape
    if seeds < 1 or items < 2:
        raise ValueError(f"an interval needs a seed and two items, not {seeds} and {items}")
    shares = np.full(items, 1 / items) if weights is None else np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mean = float(table.mean(axis=0) @ shares)
    # What each value adds to the weighted mean, in units of the mean itself (the linear part of a ratio of sums).
    pulls = (table - mean) * shares * items
    of_items = float(pulls.mean(axis=0).var(ddof=1)) / items
    of_seeds = of_rest = 0.0
    if seeds > 1:
        by_seed, by_item = pulls.mean(axis=1, keepdims=True), pulls.mean(axis=0, keepdims=True)
        of_seeds = float(by_seed.var(ddof=1)) / seeds
        rest = pulls - by_seed - by_item + pulls.mean()
        of_rest = float((rest**2).sum()) / ((seeds - 1) * (items - 1)) / (seeds * items)
    of_items_alone = max(of_items - of_rest, 0.0)

    def half_width(level: float) -> float:
        """Of the interval that leaves out `level`."""
        by_item = float(stdtrit(items - 1, level / 2)) ** 2 * of_items_alone
        if seeds == 1:
            return float(np.sqrt(by_item))
        by_seed = float(stdtrit(seeds - 1, level / 2)) ** 2 * of_seeds
        of_values = float(stdtrit((seeds - 1) * (items - 1), level / 2)) ** 2 * of_rest
        return float(np.sqrt(max(by_item + by_seed, of_values)))

    width, distance, smallest = half_width(1 - CONFIDENCE), abs(mean), 1e-12
    if distance <= 1e-12 * float(np.abs(table).max(initial=0.0)) or half_width(1.0) >= distance:
        p = 1.0
    elif half_width(smallest) <= distance:
        p = smallest
    else:
        p = float(brentq(lambda level: half_width(level) - distance, smallest, 1.0))
    return Estimate(mean, mean - width, mean + width, p, seeds, items)


def holm(levels: Sequence[float]) -> list[float]:
    """p-values corrected for their number: the chance of even one false alarm among them stays below each (Holm 1979)."""
    count, running = len(levels), 0.0
    corrected = [0.0] * count
    for place, position in enumerate(sorted(range(count), key=lambda position: levels[position])):
        running = max(running, min(1.0, (count - place) * levels[position]))
        corrected[position] = running
    return corrected


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
    return Mean(float(array.mean()), float(t.ppf((1 + CONFIDENCE) / 2, len(array) - 1) * error), len(array))


def mean_overlap(selections: Sequence[Sequence[str]]) -> float | None:
    """Mean share of documents that two selections of the same size have in common, over all pairs; None for one."""
    sets = [set(selection) for selection in selections]
    shares = [
        len(left & right) / max(1, min(len(left), len(right)))
        for position, left in enumerate(sets)
        for right in sets[:position]
    ]
    return float(np.mean(shares)) if shares else None


def resampled_counts(items: int, resamples: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
    """How often each of `items` is in each bootstrap sample of as many: (resamples, items)."""
    return draw.multinomial(items, np.full(items, 1 / items), size=resamples)
