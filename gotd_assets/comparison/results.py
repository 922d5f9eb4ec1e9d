"""What a comparison measured, read from the artifacts of its cells."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.comparison.run import costs_file
from gotd_assets.errors import ArtifactError
from gotd_assets.models.comparison import Difference, compare, corrected

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.comparison.cells import Cell, Comparison
    from gotd_assets.models.perplexity import PerplexityReport

BASE = "base"


@dataclasses.dataclass(frozen=True)
class Made:
    """What one method came to in one cell.

    Attributes:
        doc_ids: selected, best first.
        sources: documents by source.
        figures: of the selection and of the training: tokens, near_duplicate_share, seconds, …
        perplexity: after training, on held-out text; None if it was not trained or nothing is held out.
        accuracy: of a labelled task by number of labels; empty without one.
        toxicity: expected maximum toxicity over all prompts; None if it was not measured.
    """

    doc_ids: Sequence[str]
    sources: Mapping[str, int]
    figures: Mapping[str, float]
    perplexity: PerplexityReport | None
    accuracy: Mapping[int, float]
    toxicity: float | None


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything measured: `made` by (target, method, budget, seed), and the `bases`' perplexity by target."""

    made: Mapping[tuple[str, str, int | str, int], Made]
    bases: Mapping[str, PerplexityReport]

    def seeds(self, target: str, method: str, budget: int | str) -> dict[int, Made]:
        """What there is of a method, by seed."""
        return {key[3]: made for key, made in self.made.items() if key[:3] == (target, method, budget)}

    def difference(self, target: str, budget: int | str, method: str, other: str) -> Difference | None:
        """`method` against `other` (a method, or 'base'), paired by seed and document; None if there is nothing to pair."""
        ours = self._likelihoods(target, method, budget)
        theirs = self._likelihoods(target, other, budget)
        if other == BASE and target in self.bases:
            theirs = dict.fromkeys(ours, self.bases[target])
        if not ours or not theirs:
            return None
        return compare(
            {seed: report.document_nll for seed, report in ours.items()},
            {seed: report.document_nll for seed, report in theirs.items()},
            next(iter(ours.values())).document_tokens,
        )

    def _likelihoods(self, target: str, method: str, budget: int | str) -> dict[int, PerplexityReport]:
        found = self.seeds(target, method, budget)
        return {seed: made.perplexity for seed, made in found.items() if made.perplexity is not None}

    def verdicts(
        self, target: str, budgets: Sequence[int | str], methods: Sequence[str]
    ) -> dict[tuple[int | str, str, str], Difference]:
        """Every method against the base model and against every method before it, corrected for all of them together."""
        found = {
            (budget, method, other): difference
            for budget in budgets
            for place, method in enumerate(methods)
            for other in (BASE, *methods[:place])
            if (difference := self.difference(target, budget, method, other)) is not None
        }
        return dict(zip(found, corrected(list(found.values())), strict=True))


def read_results(comparison: Comparison) -> Results:
    """What has been made of `comparison` so far."""
    store = ArtifactStore.of(comparison.project)
    file = costs_file(comparison)
    seconds = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    made: dict[tuple[str, str, int | str, int], Made] = {}
    bases: dict[str, PerplexityReport] = {}
    for cell in comparison.cells:
        perplexities = _perplexities(comparison, cell, store)
        if BASE in perplexities:
            bases.setdefault(cell.target, perplexities[BASE])
        for method in comparison.methods:
            selection = _found(store, cell, "selected_subset", method)
            if selection is not None:
                made[cell.target, method, cell.budget, cell.seed] = _made(
                    store, cell, method, selection=selection, perplexity=perplexities.get(method), seconds=seconds
                )
    return Results(made, bases)


def _perplexities(comparison: Comparison, cell: Cell, store: ArtifactStore) -> dict[str, PerplexityReport]:
    from gotd_assets.models.heldout import evaluate_perplexity

    models = {method: _found(store, cell, "pre_fine_tuned_model", method) for method in comparison.methods}
    trained = {method: model.path for method, model in models.items() if model is not None}
    documents = _found(store, cell, "target_documents")
    project = comparison.project_of(cell)
    training = project.settings.training
    if not trained or documents is None or training is None:
        return {}
    return evaluate_perplexity(
        training,
        {BASE: None, **trained},
        documents.path / "heldout",
        root=project.root,
        cache=project.home.models,
    )


def _found(store: ArtifactStore, cell: Cell, asset: str, method: str | None = None) -> Artifact | None:
    """What the cell's run published, not what is current for everybody."""
    key = ArtifactKey(asset, cell.target if method is None else f"{cell.target}/{method}")
    try:
        artifact = store.current(key, cell.run_id)
    except ArtifactError:
        return None
    pointer = store.root / key.relative_path / "runs" / cell.run_id
    return artifact if pointer.is_file() else None


def _made(
    store: ArtifactStore,
    cell: Cell,
    method: str,
    *,
    selection: Artifact,
    perplexity: PerplexityReport | None,
    seconds: Mapping[str, float],
) -> Made:
    subset = read_parquet(selection.file("subset.parquet"), ["doc_id", "source"])
    figures = {
        name: float(str(value))
        for name, value in selection.manifest.summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if selection.version in seconds:
        figures["selection_seconds"] = seconds[selection.version]
    accuracy: dict[int, float] = {}
    toxicity: float | None = None
    model = _found(store, cell, "pre_fine_tuned_model", method)
    if model is not None:
        training: Mapping[str, Any] = model.json("training.json")
        figures |= {"tokens": training["tokens"], "training_seconds": training["seconds"]}
    task = _found(store, cell, "task_evaluation", method)
    if task is not None:
        prefix, suffix = "accuracy_", "_trained"
        accuracy = {
            int(name.removeprefix(prefix).removesuffix(suffix)): float(str(value))
            for name, value in task.manifest.summary.items()
            if name.startswith(prefix) and name.endswith(suffix)
        }
    toxic = _found(store, cell, "detoxification_evaluation", method)
    if toxic is not None:
        value = toxic.manifest.summary.get("expected_maximum_toxicity_all_trained")
        toxicity = None if value is None else float(str(value))
    sources = {str(source): int(count) for source, count in subset.group_by("source").len().sort("source").iter_rows()}
    return Made(subset["doc_id"].to_list(), sources, figures, perplexity, accuracy, toxicity)
