"""Paired comparisons of models on the same documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.models.statistics import holm, two_way_mean

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.fingerprint import Json
    from gotd_assets.models.perplexity import PerplexityReport

HOW_COMPARED = (
    "Change of perplexity on the same documents with its 95 % interval over seeds and documents (two-way, Student's t), p "
    "from the same interval, corrected by Holm for the number of comparisons made here."
)
ONE_SEED = "Each model was trained once: the interval is over documents, and nothing is known about another seed."


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much a model is better or worse than another on the same documents, below zero for better.

    Attributes:
        change: perplexity over the other's, less one.
        low, high: its 95 % interval over seeds and documents (`statistics.two_way_mean`); of one seed over documents alone.
        p: the level at which that interval would just touch no change.
        seeds: seeds that both models have. One says nothing about another.
        documents: documents compared.
        corrected: p among all comparisons made beside this one, by Holm; None if it stands alone.
        comparisons: how many these are.
    """

    change: float
    low: float
    high: float
    p: float
    seeds: int
    documents: int
    corrected: float | None = None
    comparisons: int = 1

    @property
    def sure(self) -> bool:
        """Whether it differs from no change, corrected, over more than one seed."""
        level = self.p if self.corrected is None else self.corrected
        return self.seeds > 1 and level < 0.05

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for reports."""
        return dict(dataclasses.asdict(self))

    def __str__(self) -> str:
        percent = [f"{100 * value:+.1f}" for value in (self.change, self.low, self.high)]
        level = self.p if self.corrected is None else self.corrected
        return f"{percent[0]} % [{percent[1]}, {percent[2]}], p {level:.2g}"


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
    predicted = np.asarray(tokens) > 0
    if not seeds or predicted.sum() < 2:
        return None
    gaps = np.stack([(ours[seed] - theirs[seed])[predicted] for seed in seeds]).astype(np.float64)
    weights = np.asarray(tokens, dtype=np.float64)[predicted]
    found = two_way_mean(gaps / weights, weights)
    low, change, high = (_as_change(value) for value in (found.low, found.value, found.high))
    return Difference(change, low, high, found.p, found.seeds, found.items)


def _as_change(nats: float) -> float:
    # Of two seeds an interval may reach further than floating numbers do.
    return float(np.expm1(min(nats, 700.0)))


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """The same, each with its p corrected for being one of so many."""
    levels = holm([difference.p for difference in differences])
    return [
        dataclasses.replace(difference, corrected=level, comparisons=len(differences))
        for difference, level in zip(differences, levels, strict=True)
    ]


def compare_reports(ours: PerplexityReport | None, theirs: PerplexityReport | None) -> Difference | None:
    """One model against another, each trained once: the interval is over documents alone, not over seeds.

    None if either was not measured, or on a single document.
    """
    if ours is None or theirs is None:
        return None
    return compare({0: ours.document_nll}, {0: theirs.document_nll}, ours.document_tokens)
