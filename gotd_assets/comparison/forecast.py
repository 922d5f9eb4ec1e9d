"""How long a comparison will take, told before its first cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.catalogue.durations import in_words
from gotd_assets.comparison.ledger import Ledger
from gotd_assets.comparison.results import found
from gotd_assets.errors import MissingArtifactError
from gotd_assets.settings.selection import Budget

if TYPE_CHECKING:
    from gotd_assets.comparison.cells import Comparison


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What is left to do.

    Attributes:
        selections, trainings: that are not there.
        selecting, training: seconds for each kind, None where nothing is known yet.
        by: what it goes by, in words.
    """

    selections: int
    trainings: int
    selecting: float | None
    training: float | None
    by: str

    def __str__(self) -> str:
        parts = [
            f"{count} {what} left" + ("" if seconds is None or not count else f", about {in_words(seconds)}")
            for count, what, seconds in (
                (self.selections, "selections", self.selecting),
                (self.trainings, "trainings", self.training),
            )
        ]
        return "; ".join(parts) + (f" ({self.by})" if self.by else "")


def forecast(comparison: Comparison, *, train: bool = True) -> Forecast:
    """What is left of `comparison`, by what earlier cells took, else by a few updates on made-up text.

    Selections of a comparison that has none yet are not foretold: they are told after the first. Labelled tasks and
    toxicity come on top.

    Raises:
        InputError: the base model cannot be loaded.
    """
    store, ledger = ArtifactStore.of(comparison.project), Ledger(comparison.project.home)
    left: dict[str, list[int | str]] = {"selected_subset": [], "pre_fine_tuned_model": []}
    took: dict[str, dict[int | str, list[float]]] = {"selected_subset": {}, "pre_fine_tuned_model": {}}
    trains = train and comparison.project.settings.training is not None
    for cell in comparison.cells:
        for arm in comparison.arms_of(cell):
            for asset, budgets in left.items():
                artifact = found(store, cell, asset, arm.method)
                seconds = None if artifact is None else ledger.get(artifact.version, "seconds")
                if artifact is None:
                    budgets.append(cell.budget)
                elif seconds is not None:
                    took[asset].setdefault(cell.budget, []).append(seconds)
    trainings = left["pre_fine_tuned_model"] if trains else []
    known = _by_budget(took["pre_fine_tuned_model"])
    by = "by the cells made already" if known or took["selected_subset"] else ""
    unknown = [budget for budget in dict.fromkeys(trainings) if budget not in known]
    if unknown:
        known |= _sampled(comparison, unknown)
        by = "trainings by four updates of the base model on made-up text, and what is measured beside perplexity not counted"
    complete = all(budget in known for budget in trainings)
    selecting = [seconds for of_budget in took["selected_subset"].values() for seconds in of_budget]
    return Forecast(
        len(left["selected_subset"]),
        len(trainings),
        len(left["selected_subset"]) * sum(selecting) / len(selecting) if selecting else None,
        sum(known[budget] for budget in trainings) if complete else None,
        by,
    )


def _by_budget(took: Mapping[int | str, list[float]]) -> dict[int | str, float]:
    return {budget: sum(seconds) / len(seconds) for budget, seconds in took.items()}


def _sampled(comparison: Comparison, budgets: list[int | str]) -> dict[int | str, float]:
    """Seconds of a training by budget; without those whose number of documents is not known yet."""
    from gotd_assets.training.speed import measured_speed

    settings = comparison.project.settings
    training = settings.training
    if training is None:
        return {}
    documents, characters = _pool(comparison)
    per_document = min(training.max_tokens, max(2, round(characters / settings.selection.characters_per_token)))
    speed = measured_speed(training, comparison.project.root, comparison.project.home.models, per_document)
    measured = training.evaluation_documents * per_document
    known = {}
    for budget in budgets:
        asked = Budget.parse(budget)
        if asked.kind == "tokens":
            tokens: float | None = asked.amount
        elif asked.kind == "documents":
            tokens = asked.amount * per_document
        else:
            tokens = None if documents is None or asked.kind != "share" else asked.amount * documents * per_document
        if tokens is not None:
            known[budget] = speed.seconds(tokens * training.epochs, measured)
    return known


def _pool(comparison: Comparison) -> tuple[int | None, float]:
    """Candidates, and characters of one; what the settings say where they were not read yet."""
    store = ArtifactStore.of(comparison.project)
    settings = comparison.project.settings
    documents, characters = 0, 0.0
    for source in settings.sources:
        try:
            summary = store.current(ArtifactKey("raw_candidates", source.name)).manifest.summary
        except MissingArtifactError:
            return None, float(settings.preparation.chunk_size)
        documents += int(str(summary["kept"]))
        characters += float(str(summary["characters"]))
    return documents, characters / max(1, documents)
