"""What a solve would still change, foretold at its last pass: of the value, of the scores, and of what would be selected."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gotd_assets.transport.newton import factorised, second_eigenvalue

if TYPE_CHECKING:
    from gotd_assets.transport.model import Model
    from gotd_assets.transport.newton import Move
    from gotd_assets.transport.semidual import Evaluation, SemiDual

_DAMPING = 1e-9


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The way to the optimum, as the curvature at hand tells it.

    Attributes:
        newton_gap: how much higher the optimum is, in units of the cost.
        score_error: the largest change of a calibrated score among the rows looked at, in units of the cost.
        top_share_overlap: share of the best rows that stay among the best.
        lambda2: the smallest eigenvalue but one of the scaled curvature: near 0 when groups of targets share no rows.
    """

    newton_gap: float
    score_error: float
    top_share_overlap: float
    lambda2: float


def by_model(model: Model, move: Move, epsilon: float, top_share: float) -> Prediction:
    """From a move to the model's optimum; without λ₂, which is not needed at every pass."""
    f, change, weights = (torch.from_numpy(values) for values in model.potentials(move.delta))
    overlap, error = _compared(f, epsilon * change, weights, top_share)
    return Prediction(max(0.0, epsilon * move.gain), error, overlap, math.nan)


def by_curvature(
    sample: SemiDual, g: Tensor, evaluation: Evaluation, curvature: Tensor, top_share: float
) -> Prediction:
    """From the Newton step that `curvature`, of H around `g` on the rows of `sample`, gives."""
    scale = evaluation.column + sample.b
    factor, _ = factorised(curvature.double(), scale, _DAMPING)
    step = sample.epsilon * torch.cholesky_solve(evaluation.gradient[:, None], factor)[:, 0]
    step = torch.where(sample.b > 0, step, 0.0)
    f, change = sample.moved(g, step)
    overlap, error = _compared(f, change, sample.source.weights, top_share)
    gap = max(0.0, float(evaluation.gradient @ step) / 2)
    return Prediction(gap, error, overlap, second_eigenvalue(curvature, evaluation.column))


def _compared(f: Tensor, change: Tensor, weights: Tensor, top_share: float) -> tuple[float, float]:
    """How much of the lowest share of `f` (n,) stays so after `change` (n,), and the largest change but for the mean."""
    used = weights > 0
    f, change, weights = f[used], change[used], weights[used]
    change = change - (weights @ change) / weights.sum()
    size = max(1, round(top_share * len(f)))
    after = set((f + change).topk(size, largest=False).indices.tolist())
    stayed = len(after & set(f.topk(size, largest=False).indices.tolist()))
    return stayed / size, float(change.abs().max())
