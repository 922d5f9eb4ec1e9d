"""Results of a study that nobody ran: figures drawn at random, by which pages and verdicts can be checked."""

import dataclasses
import zlib

import numpy as np

from benchmarks.study.plan import Plan
from benchmarks.study.results import StudyResults
from gotd_assets.comparison.results import Made, Results
from gotd_assets.models.perplexity import PerplexityReport
from gotd_assets_tests.study.worlds import PLAN, SIZES

TOKENS = np.arange(20, 28)


def results(plan: Plan = PLAN) -> StudyResults:
    """`gotd` selects the rare domain alone, random documents have the pool's shares; likelihoods are within a few percent."""
    heldout = {
        target.name: np.repeat(target.domains, plan.heldout_documents // len(target.domains)) for target in plan.targets
    }
    seconds = {
        (target.name, method, budget, seed): 1.0 + draw("seconds", target.name, method, budget, seed).random()
        for target in plan.targets
        for method in plan.methods
        for budget in plan.budgets
        for seed in range(plan.seeds)
    }
    return StudyResults(plan, SIZES, {regime: _of_regime(plan, regime) for regime in plan.regimes}, heldout, seconds)


def draw(*names: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(names).encode()))


def with_plan(made: StudyResults, **changes: object) -> StudyResults:
    return dataclasses.replace(made, plan=dataclasses.replace(made.plan, **changes))


def _of_regime(plan: Plan, regime: str) -> Results:
    made, bases = {}, {}
    for target in plan.targets:
        bases[target.name] = _report(draw("base", regime, target.name), 4.0)
        for method in plan.methods:
            for seed in range(plan.seeds):
                chosen = draw(target.name, method, seed).permutation(1000)
                for budget in plan.budgets:
                    trained = seed < plan.training_seeds(method) and budget == plan.training_budget
                    report = _report(draw(regime, target.name, method, seed), 3.9) if trained else None
                    sources = {target.rare: budget} if method == "gotd" else {"common": budget - 1, target.rare: 1}
                    figures = {"transport_saved": 0.01, "near_duplicate_share": 0.0, "mean_nearest_distance": 0.5}
                    figures |= {"training_seconds": 10.0 + seed} if trained else {}
                    made[target.name, method, budget, seed] = Made(
                        [str(number) for number in chosen[:budget]], sources, figures, report, {}, {}
                    )
    return Results(made, bases)


def _report(random: np.random.Generator, nats: float) -> PerplexityReport:
    return PerplexityReport.of(TOKENS * (nats + 0.05 * random.standard_normal(len(TOKENS))), TOKENS, "causal")
