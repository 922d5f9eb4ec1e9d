"""A study's results: those of its comparisons, and what is known of its domains beside."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.study.costs import seconds_of
from benchmarks.study.files import DOMAIN
from benchmarks.study.run import base_model, of_regime
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.comparison.ledger import Ledger
from gotd_assets.comparison.results import BASE, Results, found, read_results
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.models.comparison import Difference, compare
from gotd_assets.models.statistics import Mean, mean_of, mean_overlap

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.study.plan import Plan
    from benchmarks.study.project import Study
    from gotd_assets.comparison.results import Made
    from gotd_assets.models.perplexity import PerplexityReport

    Key = tuple[str, str, int | str, int]


@dataclasses.dataclass(frozen=True)
class StudyResults:
    """Everything a study measured.

    Attributes:
        plan: the plan.
        pool_documents: documents of the pool by domain.
        comparisons: results by regime; arms are named by their method.
        heldout_domains: the domain of every held-out document (documents,), in the order of likelihoods, by target.
        seconds: of each selection with the solve that its method needs, by (target, method, budget, seed).
        machine: on which it was read.
    """

    plan: Plan
    pool_documents: Mapping[str, int]
    comparisons: Mapping[str, Results]
    heldout_domains: Mapping[str, npt.NDArray[Any]]
    seconds: Mapping[Key, float]
    machine: str = ""
    _differences: dict[tuple[str, str, str, str, str | None], Difference | None] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the plan's order."""
        return list(self.plan.methods)

    @property
    def targets(self) -> list[str]:
        """Names of the targets, in the plan's order."""
        return [target.name for target in self.plan.targets]

    @property
    def regimes(self) -> list[str]:
        """Names of the regimes, in the plan's order."""
        return list(self.plan.regimes)

    @property
    def selections(self) -> Mapping[Key, Made]:
        """What was selected, by (target, method, budget, seed)."""
        return self.comparisons[self.regimes[0]].made

    @property
    def trained(self) -> dict[tuple[str, str, str, int], Made]:
        """What was trained, by (target, regime, method, seed)."""
        return {
            (target, regime, method, seed): made
            for regime, results in self.comparisons.items()
            for (target, method, budget, seed), made in results.made.items()
            if budget == self.plan.training_budget and made.perplexity is not None
        }

    def base(self, target: str, regime: str) -> PerplexityReport | None:
        """Held-out likelihoods of a regime's base model itself; None if they were not measured."""
        results = self.comparisons.get(regime)
        return None if results is None else results.bases.get(target)

    def pool_share(self, target: str) -> float:
        """The rare domain's share of the pool."""
        return self.pool_documents[self.plan.target(target).rare] / sum(self.pool_documents.values())

    def rare_share(self, target: str, method: str, budget: int) -> Mean | None:
        """Mean over seeds of the rare domain's share of the selections; None if there is none."""
        rare = self.plan.target(target).rare
        return _mean(made.sources.get(rare, 0) / len(made.doc_ids) for made in self._made(target, method, budget))

    def figure(self, name: str, target: str, method: str, budget: int) -> Mean | None:
        """Mean over seeds of a figure of the selections; None if there is none."""
        return _mean(made.figures[name] for made in self._made(target, method, budget) if name in made.figures)

    def overlap(self, target: str, method: str, budget: int) -> float | None:
        """Mean share of a selection that another sample of the target selects, too."""
        return mean_overlap([made.doc_ids for made in self._made(target, method, budget)])

    def costs(self, method: str, target: str | None = None) -> list[float]:
        """Seconds of each selection of the training budget, for `target` or for all."""
        return [
            seconds
            for (name, other, budget, _), seconds in sorted(self.seconds.items())
            if (other, budget) == (method, self.plan.training_budget) and target in {None, name}
        ]

    def training_seconds(self) -> list[float]:
        """Seconds of every training."""
        return [made.figures["training_seconds"] for made in self.trained.values()]

    def perplexity(self, target: str, regime: str, method: str) -> Mean | None:
        """Mean over seeds of the held-out perplexity."""
        return _mean(report.perplexity for report in self._likelihoods(target, regime, method).values())

    def difference(
        self, target: str, regime: str, method: str, other: str, domain: str | None = None
    ) -> Difference | None:
        """`method` against `other` (a method, or 'base'), paired by seed and document; None if either is missing.

        With `domain`, on held-out documents of that domain alone. Each is made once.
        """
        asked = target, regime, method, other, domain
        if asked not in self._differences:
            self._differences[asked] = self._difference(*asked)
        return self._differences[asked]

    def _difference(self, target: str, regime: str, method: str, other: str, domain: str | None) -> Difference | None:
        ours = self._likelihoods(target, regime, method)
        theirs = self._likelihoods(target, regime, other)
        base = self.base(target, regime)
        if other == BASE and base is not None:
            theirs = dict.fromkeys(ours, base)
        if not ours or not theirs:
            return None
        tokens = next(iter(ours.values())).document_tokens
        kept = np.ones(len(tokens), bool) if domain is None else self.heldout_domains[target] == domain
        return compare(
            {seed: report.document_nll[kept] for seed, report in ours.items()},
            {seed: report.document_nll[kept] for seed, report in theirs.items()},
            tokens[kept],
        )

    def _made(self, target: str, method: str, budget: int) -> list[Made]:
        return list(self.comparisons[self.regimes[0]].seeds(target, method, budget).values())

    def _likelihoods(self, target: str, regime: str, method: str) -> dict[int, PerplexityReport]:
        results = self.comparisons.get(regime)
        made = {} if results is None else results.seeds(target, method, self.plan.training_budget)
        return {seed: one.perplexity for seed, one in made.items() if one.perplexity is not None}


def read_study(study: Study) -> StudyResults:
    """What has been made of `study` so far."""
    regimes = [regime for regime in study.plan.regimes if regime == "as-it-comes" or base_model(study) is not None]
    comparison = study.comparison
    store, ledger = ArtifactStore(study.project.home.artifacts), Ledger(study.project.home)
    seconds = {
        (cell.target, arm.method, cell.budget, cell.seed): total
        for cell in comparison.cells
        for arm in comparison.arms_of(cell)
        if (total := seconds_of(store, ledger, cell, arm.method)) is not None
    }
    return StudyResults(
        plan=study.plan,
        pool_documents=study.pool_documents,
        comparisons={regime: _by_method(read_results(of_regime(study, regime))) for regime in regimes},
        heldout_domains=_heldout_domains(study, store),
        seconds=seconds,
        machine=f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()}",
    )


def _by_method(results: Results) -> Results:
    """The same with arms named by their method: all of a study's have the same vectors."""
    made = {
        (target, arm.split(" on ")[0], budget, seed): one for (target, arm, budget, seed), one in results.made.items()
    }
    return dataclasses.replace(results, made=made)


def _heldout_domains(study: Study, store: ArtifactStore) -> dict[str, npt.NDArray[Any]]:
    domains = {}
    for cell in study.comparison.cells:
        documents = found(store, cell, "target_documents")
        if documents is not None and cell.target not in domains:
            # As `heldout_documents` takes them.
            known = scan_documents(documents.path / "heldout").select("doc_id", DOMAIN).sort("doc_id").collect()
            domains[cell.target] = known.get_column(DOMAIN).to_numpy()[: study.plan.heldout_documents]
    return domains


def _mean(values: Any) -> Mean | None:
    known = list(values)
    return mean_of(known) if known else None
