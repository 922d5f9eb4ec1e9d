"""How many labels pre-fine-tuning is worth: signed, alike for both models, with an interval."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.models.statistics import CONFIDENCE, resampled_counts

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.fingerprint import Json

_RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class LabelsSaved:
    """Labels saved at one size: above zero if the model needs fewer, with the 95 % interval of a bootstrap."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, Json]:
        """As a mapping for files."""
        return dict(dataclasses.asdict(self))


def labels_saved(base: Mapping[int, float], ours: Mapping[int, float]) -> dict[int, float]:
    """Labels that the model saves at each size, below zero if it needs more.

    Half of how many fewer than n it needs for the score that the base model has with n, and half of how many more than n
    the base model needs for the score that the model has with n. One alone is not zero on average between equal models:
    curves are uneven, and of the two only one is asked where it gets to the other's score. Exchanging the models turns
    the sign, so that between equal models the mean is zero.

    Curves are first made to rise (isotonic regression), and are linear in the logarithm of n between sizes. Beyond the
    measured sizes nothing is known: what would be there counts as the last or first size, so that a large effect is
    understated.

    Args:
        base: mean score of the base model by number of labels.
        ours: of the model in question, at the same numbers.
    """
    sizes = sorted(base)
    risen = [_rising([scores[size] for size in sizes]) for scores in (base, ours)]
    saved = {}
    for position, size in enumerate(sizes):
        needed = _labels_for(risen[0][position], sizes, risen[1])
        needed_by_base = _labels_for(risen[1][position], sizes, risen[0])
        saved[size] = (needed_by_base - needed) / 2
    return saved


def labels_saved_with_intervals(
    base: Mapping[int, npt.NDArray[np.float64]], ours: Mapping[int, npt.NDArray[np.float64]]
) -> dict[int, LabelsSaved]:
    """Labels saved, with intervals by a bootstrap over seeds and texts, both models on the same ones.

    Args:
        base: by number of labels, which texts were right (seeds, texts), 0 or 1.
        ours: of the model in question: the same seeds and texts.
    """
    draw = np.random.default_rng(0)
    seeds, texts = next(iter(base.values())).shape
    found = labels_saved(*({size: float(right.mean()) for size, right in model.items()} for model in (base, ours)))
    seed_counts, text_counts = resampled_counts(seeds, _RESAMPLES, draw), resampled_counts(texts, _RESAMPLES, draw)
    means = [
        {size: np.einsum("rs,st,rt->r", seed_counts, right, text_counts, optimize=True) for size, right in m.items()}
        for m in (base, ours)
    ]
    drawn = [
        labels_saved(*({size: float(scores[number]) for size, scores in model.items()} for model in means))
        for number in range(_RESAMPLES)
    ]
    bounds = {
        size: np.quantile([saved[size] for saved in drawn], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        for size in found
    }
    return {size: LabelsSaved(value, *map(float, bounds[size])) for size, value in found.items()}


def _rising(scores: Sequence[float]) -> list[float]:
    """The nearest scores that never fall: neighbours that do are pooled."""
    blocks: list[list[float]] = []
    for score in scores:
        blocks.append([score, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            value, count = blocks.pop()
            before, many = blocks.pop()
            blocks.append([(before * many + value * count) / (many + count), many + count])
    return [value for value, count in blocks for _ in range(int(count))]


def _labels_for(score: float, sizes: Sequence[int], rising: Sequence[float]) -> float:
    """With how many labels a rising curve has `score`; the middle, where it is flat there."""
    return math.exp((_reach(score, sizes, rising, first=True) + _reach(score, sizes, rising, first=False)) / 2)


def _reach(score: float, sizes: Sequence[int], rising: Sequence[float], *, first: bool) -> float:
    """The logarithm of the least (`first`) or the greatest number of labels that has `score`."""
    logs = [math.log(size) for size in sizes]
    if score < rising[0]:
        return logs[0]
    if score > rising[-1]:
        return logs[-1]
    if first:
        at = next(position for position, value in enumerate(rising) if value >= score)
        if at == 0:
            return logs[0]
        part = (score - rising[at - 1]) / (rising[at] - rising[at - 1])
        return logs[at - 1] + part * (logs[at] - logs[at - 1])
    at = max(position for position, value in enumerate(rising) if value <= score)
    if at == len(rising) - 1:
        return logs[-1]
    part = (score - rising[at]) / (rising[at + 1] - rising[at])
    return logs[at] + part * (logs[at + 1] - logs[at])
