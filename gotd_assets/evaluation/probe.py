"""A linear probe: logistic regression on the states of a model that stays as it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# A label that no text of the sample has is less likely than all others by this factor, as a logarithm.
_UNSEEN = 5.0


@dataclasses.dataclass(frozen=True)
class Probe:
    """Logits ((x − centre) / scale) · weightᵀ + bias.

    Attributes:
        centre, scale: (D,) of the training states.
        weight: (labels, D).
        bias: (labels,).
    """

    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, states: npt.NDArray[Any], labels: npt.NDArray[np.int64], n_labels: int) -> Probe:
        """Fit to `states` (n, D) with `labels` (n,): standardised, an L2 penalty of 1 (scikit-learn's default)."""
        from sklearn.linear_model import LogisticRegression

        states = np.asarray(states, dtype=np.float64)
        centre, scale = states.mean(axis=0), states.std(axis=0)
        # A state that hardly varies says nothing: dividing by its deviation would make it shout.
        scale = np.maximum(scale, 1e-3 * max(float(scale.max()), 1e-12))
        seen = np.unique(labels)
        weight, bias = np.zeros((n_labels, states.shape[1])), np.zeros(n_labels)
        if len(seen) > 1:
            fitted = LogisticRegression(max_iter=2000).fit((states - centre) / scale, labels)
            if len(seen) == 2:
                weight[seen], bias[seen] = (
                    np.outer([-0.5, 0.5], fitted.coef_[0]),
                    np.array([-0.5, 0.5]) * fitted.intercept_,
                )
            else:
                weight[seen], bias[seen] = fitted.coef_, fitted.intercept_
        unseen = np.setdiff1d(np.arange(n_labels), seen)
        bias[unseen] = bias[seen].min() - _UNSEEN
        return cls(centre, scale, weight, bias)

    def predict(self, states: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The likeliest label (n,) of each of `states` (n, D)."""
        standard = (np.asarray(states, dtype=np.float64) - self.centre) / self.scale
        return np.asarray((standard @ self.weight.T + self.bias).argmax(axis=1), dtype=np.int64)
