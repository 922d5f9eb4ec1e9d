"""A study's results, read from MLflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.errors import InputError
from gotd_assets.models.comparison import Difference, compare
from gotd_assets.models.statistics import Mean, mean_of, mean_overlap

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.study.record import Measurement, StudyRecord


@dataclasses.dataclass(frozen=True)
class Heldout:
    """A model's negative log-likelihoods of held-out documents: `nll` (documents,) in nats, `tokens` (documents,).

    `sources` are the domains of the documents.
    """

    doc_ids: tuple[str, ...]
    sources: tuple[str, ...]
    nll: npt.NDArray[Any]
    tokens: npt.NDArray[Any]

    @property
    def perplexity(self) -> float:
        """Perplexity over all documents, every token counting the same."""
        return float(np.exp(self.nll.sum() / self.tokens.sum()))


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything a study measured.

    Attributes:
        plan: the plan as `StudyRecord.begin` was given it.
        selections: figures by (target, method, budget, seed).
        members: doc_ids by (target, method, budget, seed).
        sources: documents by domain, by (target, method, budget, seed).
        trained: held-out likelihoods by (target, regime, method, seed).
        bases: those of the base models by (target, regime).
        trainings: figures of the trainings by (target, regime, method, seed).
    """

    plan: Mapping[str, Any]
    selections: Mapping[tuple[str, str, int, int], Mapping[str, float]]
    members: Mapping[tuple[str, str, int, int], list[str]]
    sources: Mapping[tuple[str, str, int, int], Mapping[str, int]]
    trained: Mapping[tuple[str, str, str, int], Heldout]
    bases: Mapping[tuple[str, str], Heldout]
    trainings: Mapping[tuple[str, str, str, int], Mapping[str, float]]
    _differences: dict[tuple[str, str, str, str, str | None], Difference | None] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def read(cls, record: StudyRecord) -> Results | None:
        """The results in `record`; None if the study never began."""
        plan = record.plan()
        if plan is None:
            return None
        # An experiment keeps what earlier plans of the same name measured: it does not belong here.
        wanted = {*plan["selection_keys"], *plan["training_keys"]}
        found = {
            kind: [entry for entry in record.measurements(kind) if entry.key in wanted]
            for kind in ("selection", "perplexity", "base")
        }
        selections = {_selection(entry): entry for entry in found["selection"]}
        trained = {_training(entry): entry for entry in found["perplexity"]}
        bases = {(entry.parameters["target"], entry.parameters["regime"]): entry for entry in found["base"]}
        return cls(
            plan=plan,
            selections={key: entry.figures for key, entry in selections.items()},
            members={key: record.read(entry.run_id, "selection") for key, entry in selections.items()},
            sources={key: record.read(entry.run_id, "sources") for key, entry in selections.items()},
            trained={key: _heldout(record.read(entry.run_id, "heldout")) for key, entry in trained.items()},
            bases={key: _heldout(record.read(entry.run_id, "heldout")) for key, entry in bases.items()},
            trainings={key: entry.figures for key, entry in trained.items()},
        )

    @property
    def budget(self) -> int:
        """Documents that models were trained on."""
        return int(self.plan["plan"]["training_budget"])

    @property
    def targets(self) -> list[str]:
        """Names of the targets, in the plan's order."""
        return [target["name"] for target in self.plan["plan"]["targets"]]

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the plan's order."""
        return list(self.plan["plan"]["methods"])

    @property
    def regimes(self) -> list[str]:
        """Names of the regimes, in the plan's order."""
        return list(self.plan["plan"]["regimes"])

    def domains(self, target: str) -> list[str]:
        """Domains that `target` is made of."""
        return list(self._target(target)["domains"])

    def rare(self, target: str) -> str:
        """The domain of `target` that is rare in the pool."""
        return str(self._target(target)["rare"])

    def _target(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(entry for entry in self.plan["plan"]["targets"] if entry["name"] == name)
        return found

    def training_seeds(self, method: str) -> int:
        """How many models the plan wants trained on selections of `method`, per target and regime."""
        plan = self.plan["plan"]
        fewer = None if method in plan["first"] else plan.get("other_seeds")
        return int(plan["seeds"] if fewer is None else fewer)

    def figure(self, name: str, target: str, method: str, budget: int) -> Mean | None:
        """Mean over seeds of a figure of the selections; None if there is none."""
        values = [entry[name] for key, entry in sorted(self.selections.items()) if key[:3] == (target, method, budget)]
        return mean_of(values) if values else None

    def overlap(self, target: str, method: str, budget: int) -> float | None:
        """Mean share of a selection that another sample of the target selects, too."""
        return mean_overlap([ids for key, ids in sorted(self.members.items()) if key[:3] == (target, method, budget)])

    def perplexity(self, target: str, regime: str, method: str) -> Mean | None:
        """Mean over seeds of the held-out perplexity."""
        values = [entry.perplexity for entry in self._seeds(target, regime, method).values()]
        return mean_of(values) if values else None

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
        ours = self._seeds(target, regime, method)
        theirs = self._seeds(target, regime, other)
        if other == "base" and (target, regime) in self.bases:
            theirs = dict.fromkeys(ours, self.bases[target, regime])
        if not ours or not theirs:
            return None
        first = next(iter(ours.values()))
        kept = np.array([domain is None or source == domain for source in first.sources])
        return compare(
            {seed: entry.nll[kept] for seed, entry in ours.items()},
            {seed: entry.nll[kept] for seed, entry in theirs.items()},
            first.tokens[kept],
        )

    def _seeds(self, target: str, regime: str, method: str) -> dict[int, Heldout]:
        return {key[3]: entry for key, entry in sorted(self.trained.items()) if key[:3] == (target, regime, method)}


def _selection(entry: Measurement) -> tuple[str, str, int, int]:
    given = entry.parameters
    return given["target"], given["method"], int(given["budget"]), int(given["seed"])


def _training(entry: Measurement) -> tuple[str, str, str, int]:
    given = entry.parameters
    return given["target"], given["regime"], given["method"], int(given["seed"])


def _heldout(content: Mapping[str, Any]) -> Heldout:
    # Documents without a token to predict were not measured; the study's are all long enough.
    if content["skipped"]:
        raise InputError(f"{content['skipped']} held-out documents of the study have no token to predict")
    nll, tokens = np.asarray(content["nll"]), np.asarray(content["tokens"])
    return Heldout(tuple(content["doc_id"]), tuple(content["source"]), nll, tokens)
