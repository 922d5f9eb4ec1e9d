"""A study is run: comparisons of its project, first of selections, then of models as time allows."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gotd_assets.artifacts.run_lock import alone
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.comparison.cells import Arm, Comparison
from gotd_assets.comparison.results import found
from gotd_assets.comparison.run import make_cells
from gotd_assets.errors import GotdError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.study.plan import Plan, Regime
    from benchmarks.study.project import Study
    from gotd_assets.stations.work import Journal

_PRETRAINING_SEED = 1_000_003


def run_study(
    study: Study, journal: Journal, announce: Callable[[str], None], *, minutes: float | None = None, train: bool = True
) -> bool:
    """Make what is not there yet; whether everything is.

    Selections by every method, for every budget; then models for the training budget, of the plan's first methods with
    every base model before all others, so that a study that is stopped has something to tell.

    Args:
        study: the plan and its project.
        journal: is told how far each station is.
        announce: is told each part before it begins.
        minutes: begin no training after this many.
        train: whether to train models, too, or only to select.

    Raises:
        GotdError: another process works in the study's home, or a cell cannot be made.
    """
    started = time.monotonic()
    project = study.project

    def make(comparison: Comparison, *, train: bool = True) -> bool:
        left = None if minutes is None else max(0.0, minutes - (time.monotonic() - started) / 60)
        progress = make_cells(comparison, journal, announce, minutes=left, train=train)
        for cell, why in progress.failures.items():
            raise GotdError(f"{cell}: {why}")
        return progress.complete

    with alone(project.home):
        make(study.comparison, train=False)
        if not train:
            return True
        for first in (True, False):
            for regime in study.plan.regimes:
                if regime == "trained-on-pool" and not make(base_of_the_pool(study)):
                    return False
                comparison = of_regime(study, regime)
                if not all(make(part) for part in trained(comparison, study.plan, first=first)):
                    return False
    return True


def of_regime(study: Study, regime: Regime) -> Comparison:
    """The study's comparison with the base model of `regime`, which must be there."""
    if regime == "as-it-comes":
        return study.comparison
    model = base_model(study)
    if model is None:
        raise GotdError(f"study {study.plan.name!r}: the base model of {regime!r} was not trained yet")
    project = study.project.overridden({"training.model": str(model)})
    return dataclasses.replace(study.comparison, project=project, name=regime)


def base_of_the_pool(study: Study) -> Comparison:
    """The one cell that trains the base model of 'trained-on-pool', on random documents of the pool.

    That is the theorem's regime: the pool is what the base model was trained on.
    """
    comparison = study.comparison
    return dataclasses.replace(
        comparison,
        targets=comparison.targets[:1],
        arms=[Arm("random")],
        budgets=[study.plan.pretraining_documents],
        seeds=[_PRETRAINING_SEED],
    )


def base_model(study: Study) -> Path | None:
    """The folder of the base model of 'trained-on-pool'; None before it was trained."""
    (cell,) = base_of_the_pool(study).cells
    artifact = found(ArtifactStore(study.project.home.artifacts), cell, "pre_fine_tuned_model", "random")
    return None if artifact is None else artifact.path / "model"


def trained(comparison: Comparison, plan: Plan, *, first: bool) -> Iterator[Comparison]:
    """What models are trained for: the plan's first methods in every seed, or the others in as many as it says."""
    arms = [arm for arm in comparison.arms if (arm.method in plan.first) == first]
    seeds = plan.seeds if first or plan.other_seeds is None else plan.other_seeds
    if arms and seeds:
        yield dataclasses.replace(comparison, arms=arms, budgets=[plan.training_budget], seeds=range(seeds))
