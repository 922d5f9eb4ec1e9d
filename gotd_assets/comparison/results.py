"""What a comparison measured, read from the artifacts of its cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.comparison.ledger import Ledger
from gotd_assets.comparison.tasks import accuracies, toxicities
from gotd_assets.errors import MissingArtifactError
from gotd_assets.models.comparison import Difference, compare, corrected
from gotd_assets.models.statistics import Estimate, two_way_mean

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.comparison.cells import Cell, Comparison
    from gotd_assets.models.perplexity import PerplexityReport

BASE = "base"
Measured = Mapping[str, "npt.NDArray[Any]"]
"""What was measured beside perplexity, item by item: 'accuracy, 20 labels' (texts,), 'maximum toxicity' (prompts,)."""


@dataclasses.dataclass(frozen=True)
class Made:
    """What one arm came to in one cell.

    Attributes:
        doc_ids: selected, best first.
        sources: documents by source.
        figures: of the selection and of the training: tokens, near_duplicate_share, seconds, …
        perplexity: after training, on held-out text; None if it was not trained or nothing is held out.
        measured, measured_base: by name, item by item, of the trained model and of the base model.
    """

    doc_ids: Sequence[str]
    sources: Mapping[str, int]
    figures: Mapping[str, float]
    perplexity: PerplexityReport | None
    measured: Measured
    measured_base: Measured


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything measured.

    Attributes:
        made: by (target, arm, budget, seed).
        bases: the base model's perplexity by target.
        texts: documents of each target that guide a selection, the fewest of any seed, and that are held out.
    """

    made: Mapping[tuple[str, str, int | str, int], Made]
    bases: Mapping[str, PerplexityReport]
    texts: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def seeds(self, target: str, arm: str, budget: int | str) -> dict[int, Made]:
        """What there is of an arm, by seed."""
        return {key[3]: made for key, made in self.made.items() if key[:3] == (target, arm, budget)}

    def difference(self, target: str, budget: int | str, arm: str, other: str) -> Difference | None:
        """`arm` against `other` (an arm, or 'base'), paired by seed and document; None if there is nothing to pair."""
        ours = self._likelihoods(target, arm, budget)
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

    def _likelihoods(self, target: str, arm: str, budget: int | str) -> dict[int, PerplexityReport]:
        found = self.seeds(target, arm, budget)
        return {seed: made.perplexity for seed, made in found.items() if made.perplexity is not None}

    def verdicts(
        self, target: str, budgets: Sequence[int | str], arms: Sequence[str]
    ) -> dict[tuple[int | str, str, str], Difference]:
        """Every arm against the base model and against every arm before it, corrected for all of them together."""
        found = {
            (budget, arm, other): difference
            for budget in budgets
            for place, arm in enumerate(arms)
            for other in (BASE, *arms[:place])
            if (difference := self.difference(target, budget, arm, other)) is not None
        }
        return dict(zip(found, corrected(list(found.values())), strict=True))

    def gain(self, target: str, budget: int | str, arm: str, name: str) -> Estimate | None:
        """How much more of `name` the arm's models have than the base model, by seed and item; None of fewer than two items."""
        made = [one for one in self.seeds(target, arm, budget).values() if name in one.measured]
        rows = [one.measured[name] - one.measured_base[name] for one in made]
        # Labelled texts and prompts are the same for all seeds, unless they changed meanwhile.
        if not rows or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
            return None
        return two_way_mean(np.stack(rows))


def read_results(comparison: Comparison) -> Results:
    """What has been made of `comparison` so far."""
    store, ledger = ArtifactStore.of(comparison.project), Ledger(comparison.project.home)
    made: dict[tuple[str, str, int | str, int], Made] = {}
    bases: dict[str, PerplexityReport] = {}
    texts: dict[str, tuple[int, int]] = {}
    for cell in comparison.cells:
        perplexities = _perplexities(comparison, cell, store)
        if BASE in perplexities:
            bases.setdefault(cell.target, perplexities[BASE])
        documents = found(store, cell, "target_documents")
        if documents is not None:
            guiding, held = (int(str(documents.manifest.summary[f"{side}_documents"])) for side in ("train", "heldout"))
            texts[cell.target] = min(guiding, texts.get(cell.target, (guiding, held))[0]), held
        for arm in comparison.arms_of(cell):
            selection = found(store, cell, "selected_subset", arm.method)
            if selection is not None:
                made[cell.target, str(arm), cell.budget, cell.seed] = _made(
                    comparison,
                    store,
                    cell,
                    arm.method,
                    selection=selection,
                    perplexity=perplexities.get(arm.method),
                    ledger=ledger,
                )
    return Results(made, bases, texts)


def _perplexities(comparison: Comparison, cell: Cell, store: ArtifactStore) -> dict[str, PerplexityReport]:
    from gotd_assets.models.heldout import evaluate_perplexity

    models = {arm.method: found(store, cell, "pre_fine_tuned_model", arm.method) for arm in comparison.arms_of(cell)}
    trained = {method: model.path for method, model in models.items() if model is not None}
    documents = found(store, cell, "target_documents")
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


def found(store: ArtifactStore, cell: Cell, asset: str, method: str | None = None) -> Artifact | None:
    """What the cell's run published, not what is current for everybody."""
    key = ArtifactKey(asset, cell.target if method is None else f"{cell.target}/{method}")
    try:
        artifact = store.current(key, cell.run_id)
    except MissingArtifactError:
        return None
    pointer = store.root / key.relative_path / "runs" / cell.run_id
    return artifact if pointer.is_file() else None


def _made(
    comparison: Comparison,
    store: ArtifactStore,
    cell: Cell,
    method: str,
    *,
    selection: Artifact,
    perplexity: PerplexityReport | None,
    ledger: Ledger,
) -> Made:
    subset = read_parquet(selection.file("subset.parquet"), ["doc_id", "source"])
    figures = {
        name: float(str(value))
        for name, value in selection.manifest.summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for name in ("seconds", "transport_saved"):
        value = ledger.get(selection.version, name)
        if value is not None:
            figures["selection_seconds" if name == "seconds" else name] = value
    measured: dict[str, npt.NDArray[Any]] = {}
    measured_base: dict[str, npt.NDArray[Any]] = {}
    model = found(store, cell, "pre_fine_tuned_model", method)
    if model is not None:
        training: Mapping[str, Any] = model.json("training.json")
        figures |= {"tokens": training["tokens"], "training_seconds": training["seconds"]}
        evaluation = comparison.project.settings.evaluation
        task, texts = evaluation.task(cell.target), found(store, cell, "labelled_documents")
        labelled = found(store, cell, "task_evaluation", method)
        if task is not None and texts is not None and labelled is not None:
            measured_base, measured = accuracies(labelled, texts, task)
        toxic = found(store, cell, "detoxification_evaluation", method)
        if evaluation.prompts(cell.target) is not None and toxic is not None:
            before, after = toxicities(toxic)
            measured_base, measured = measured_base | before, measured | after
    sources = {str(source): int(count) for source, count in subset.group_by("source").len().sort("source").iter_rows()}
    return Made(subset["doc_id"].to_list(), sources, figures, perplexity, measured, measured_base)
