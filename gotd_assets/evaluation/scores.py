"""How well predictions agree with labels, and how many labels that is worth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Scores:
    """How well predictions agree with labels.

    Attributes:
        accuracy: share of texts that are right; the micro F1 of a task with one label per text is the same number.
        macro_f1: mean over labels of the harmonic mean of precision and recall; a label neither predicted nor present
            counts 0.
    """

    accuracy: float
    macro_f1: float

    @classmethod
    def of(cls, predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], n_labels: int) -> Scores:
        """Scores of `predicted` (n,) against `labels` (n,)."""
        from sklearn.metrics import accuracy_score, f1_score

        f1 = f1_score(labels, predicted, labels=range(n_labels), average="macro", zero_division=0)
        return cls(float(accuracy_score(labels, predicted)), float(f1))


def labels_saved(base: Mapping[int, float], ours: Mapping[int, float]) -> dict[int, float | None]:
    """How many labels fewer the pre-fine-tuned model needs for the score that the base model has with n (Figure 1).

    Between measured sizes scores are taken as linear in the logarithm of n. A negative number says that it needs more;
    None that it does not reach the score at any size, and the whole n is saved where its first point is there already.

    Args:
        base: mean score of the base model by number of labels.
        ours: of the pre-fine-tuned model.
    """
    sizes = sorted(ours)
    saved: dict[int, float | None] = {}
    for size, score in sorted(base.items()):
        reached = next((position for position, n in enumerate(sizes) if ours[n] >= score), None)
        if reached is None:
            saved[size] = None
        elif reached == 0:
            saved[size] = float(size - sizes[0])
        else:
            low, high = sizes[reached - 1], sizes[reached]
            part = (score - ours[low]) / (ours[high] - ours[low])
            saved[size] = float(size - math.exp(math.log(low) + part * (math.log(high) - math.log(low))))
    return saved
