"""Figure 3 of Kang et al. (2024) in full: what matching methods and the gradient of transport select from 99:1.

A model was pre-trained on 99 % cats and 1 % dogs and is to be prepared for half cats, half dogs. Methods that match the
target select half dogs, although the model knows cats well enough; the gradient selects what is missing. Here for
several mixtures in the target and several budgets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.settings.selection import SelectionSettings

RARE_SHARE, TARGET = 0.01, 200
MIXTURES = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)
# The mixture of the plot over budgets.
MIXTURE = 0.5
_WANTED_LAMBDA = 0.2


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A pool of 99:1, and targets of several mixtures.

    Attributes:
        rare: what the one part in a hundred is called.
        methods: to be compared.
        budgets: documents to select for the target of mixture `MIXTURE`.
        budget: documents to select for every other mixture.
        is_rare: doc_id and `rare` (boolean) of the whole pool.
        pose: the problem of a target of which that share is rare; its potentials are solved.
        choose: doc_ids (budget,), best first, that a method selects in the problem of a mixture.
        nested: methods of which a small selection is the beginning of a larger one.
    """

    rare: str
    methods: tuple[str, ...]
    budgets: tuple[int, ...]
    budget: int
    is_rare: pl.DataFrame
    pose: Callable[[float], SelectionProblem]
    choose: Callable[[str, SelectionProblem, float], pl.Series]
    nested: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Point:
    """What one method selected: its share of what is rare, and the transport cost to the target before and after.

    The cost is that of λ·selection + (1 − λ)·pool for λ = .2.
    """

    method: str
    mixture: float
    budget: int
    rare: float
    before: float
    after: float


def solved_problem(
    pool: Pool, target: npt.NDArray[Any], *, epsilon: float, seed: int, settings: SelectionSettings
) -> SelectionProblem:
    """The transport from `pool` to `target` (M, D), solved, as a problem without a budget of its own."""
    from gotd_assets.selection.pool.pool import scores_of
    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.transport import Problem, make_sketch, solve

    sketch = make_sketch(target, method="all")
    potentials = solve(pool.vectors, sketch, Problem(epsilon=epsilon), seed=seed)
    return SelectionProblem(
        scores=scores_of(pool, potentials),
        pool=pool,
        target=target,
        budget=0,
        seed=seed,
        settings=settings,
        potentials=potentials,
    )


def select_by_all(experiment: Experiment, mixtures: Sequence[float] = MIXTURES) -> list[Point]:
    """What every method selects for targets of these `mixtures`."""
    from gotd_assets.selection.analysis.worth import worth_of

    points = []
    rare = experiment.is_rare.filter(pl.col("rare")).get_column("doc_id")
    for mixture in mixtures:
        problem = experiment.pose(mixture)
        potentials: Any = problem.potentials
        budgets = experiment.budgets if mixture == MIXTURE else (experiment.budget,)
        for method in experiment.methods:
            chosen = {
                budget: experiment.choose(method, dataclasses.replace(problem, budget=budget), mixture)
                for budget in ([max(budgets)] if method in experiment.nested else budgets)
            }
            for budget in budgets:
                doc_ids = chosen.get(budget, chosen[max(budgets)]).head(budget)
                worth = worth_of(doc_ids, problem.pool, potentials, _WANTED_LAMBDA)
                share = int(doc_ids.is_in(rare.implode()).sum()) / len(doc_ids)
                points.append(Point(method, mixture, budget, share, worth.before, worth.after))
    return points


def draw(points: Sequence[Point], experiment: Experiment) -> Figure:
    """The plot: what is rare in the selection over budgets and mixtures, and the transport cost saved over budgets."""
    from benchmarks.study.plots import colour, legend, panels

    figure, (over_budgets, over_mixtures, saved) = panels(3)
    for method in experiment.methods:
        budgets = [point for point in points if point.method == method and point.mixture == MIXTURE]
        mixtures = [point for point in points if point.method == method and point.budget == experiment.budget]
        style: dict[str, Any] = {"color": colour(method), "marker": "o", "markersize": 3, "label": method}
        over_budgets.plot([p.budget for p in budgets], [100 * p.rare for p in budgets], **style)
        over_mixtures.plot([100 * p.mixture for p in mixtures], [100 * p.rare for p in mixtures], **style)
        saved.plot([p.budget for p in budgets], [p.before - p.after for p in budgets], **style)
    over_mixtures.plot([0, 100], [0, 100], color="#CCCCCC", linewidth=0.8, zorder=0)
    rare, some = experiment.rare, f"target {MIXTURE:.0%} {experiment.rare}"
    over_budgets.set(title=some, xlabel="selected", ylabel=f"{rare} in the selection, %")
    over_mixtures.set(
        title=f"{experiment.budget} selected", xlabel=f"{rare} in the target, %", ylabel=f"{rare} in the selection, %"
    )
    saved.set(title=some, xlabel="selected", ylabel="transport cost saved (λ .2)")
    legend(figure, over_budgets)
    return figure
