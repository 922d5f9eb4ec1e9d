"""How well predictions agree with labels."""

from __future__ import annotations

import dataclasses
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
