"""Paired comparisons of models on the same documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.models.bootstrap import resampled_counts

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.fingerprint import Json
    from gotd_assets.models.perplexity import PerplexityReport

_RESAMPLES = 4000
_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much a model is better or worse than another on the same documents, below zero for better.

    Attributes:
        change: perplexity over the other's, less one.
        low, high: its 95 % interval, by bootstrap over seeds and documents, both drawn anew.
        p: how likely documents would differ that much or more, either way, if the sign of each one's difference were
            a coin's (4,000 draws of the signs; seeds averaged).
        seeds: seeds that both models have.
        documents: documents compared.
    """

    change: float
    low: float
    high: float
    p: float
    seeds: int
    documents: int

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for reports."""
        return dict(dataclasses.asdict(self))

    def __str__(self) -> str:
        percent = [f"{100 * value:+.1f}" for value in (self.change, self.low, self.high)]
        return f"{percent[0]} % [{percent[1]}, {percent[2]}], p {self.p:.2g}"


def compare(
    ours: Mapping[int, npt.NDArray[Any]], theirs: Mapping[int, npt.NDArray[Any]], tokens: npt.NDArray[Any]
) -> Difference | None:
    """Compare two models by seed: `ours[seed]` and `theirs[seed]` are negative log-likelihoods (documents,) in nats.

    Args:
        ours: of the model in question.
        theirs: of the one it is compared with; None comes back if no seed is in both, or for a single document, of which
            no interval can be had.
        tokens: (documents,) predicted tokens.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds or len(tokens) < 2:
        return None
    gaps = np.stack([ours[seed] - theirs[seed] for seed in seeds]).astype(np.float64)
    total = float(tokens.sum())
    per_document = gaps.mean(axis=0)
    draw = np.random.default_rng(0)
    n_seeds, n_documents = gaps.shape
    seed_counts = resampled_counts(n_seeds, _RESAMPLES, draw) / n_seeds
    document_counts = resampled_counts(n_documents, _RESAMPLES, draw)
    sums = np.einsum("rs,sd,rd->r", seed_counts, gaps, document_counts, optimize=True)
    low, high = np.quantile(sums / (document_counts @ tokens), [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    observed = abs(per_document.sum())
    signs = draw.choice([-1.0, 1.0], size=(_RESAMPLES, n_documents))
    extreme = int((np.abs(signs @ per_document) >= observed - 1e-12).sum())
    return Difference(
        change=float(np.expm1(per_document.sum() / total)),
        low=float(np.expm1(low)),
        high=float(np.expm1(high)),
        p=(extreme + 1) / (_RESAMPLES + 1),
        seeds=n_seeds,
        documents=n_documents,
    )


def compare_reports(ours: PerplexityReport | None, theirs: PerplexityReport | None) -> Difference | None:
    """One model against another, each trained once: the interval is over documents alone, not over seeds.

    None if either was not measured, or on a single document.
    """
    if ours is None or theirs is None:
        return None
    return compare({0: ours.document_nll}, {0: theirs.document_nll}, ours.document_tokens)
