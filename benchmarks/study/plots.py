"""Plots of a study, as SVG that is the same for the same results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.study.results import StudyResults

# Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS = {
    "gotd": "#D55E00",
    "gotd-debiased": "#E69F00",
    "gotd-rounds": "#CC79A7",
    "random": "#999999",
    "all-domains": "#BBBBBB",
    "dapt": "#56B4E9",
    "tapt-c": "#0072B2",
    "dsir": "#009E73",
    "importance resampling": "#009E73",
    "tsds": "#000000",
}


def save(figure: Figure, path: Path) -> None:
    """Write `figure` without anything that depends on when it was made."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "gotd-assets", "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")


def panels(count: int, *, height: float = 3.4) -> tuple[Figure, Sequence[Axes]]:
    """A figure with `count` plots side by side, at most three in a row, four in two rows."""
    from matplotlib.figure import Figure

    columns = 2 if count == 4 else min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.4 * columns, height * rows), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False)
    flat = list(axes.ravel())
    for unused in flat[count:]:
        unused.set_visible(False)
    return figure, flat[:count]


def colour(method: str) -> str:
    """The colour of `method`, the same in every plot."""
    return _COLOURS[method]


def legend(figure: Figure, axes: Axes) -> None:
    """One legend for all plots, beside them, where it hides nothing."""
    figure.legend(*axes.get_legend_handles_labels(), fontsize=7, loc="outside right upper", frameon=False)


def rare_shares(results: StudyResults) -> Figure:
    """Share of the rare domain in every method's selection, over budgets, a plot per target."""
    figure, axes = panels(len(results.targets))
    for target, plot in zip(results.targets, axes, strict=True):
        rare, budgets = results.plan.target(target).rare, results.plan.budgets
        for method in results.methods:
            means = [results.rare_share(target, method, budget) for budget in budgets]
            known = [(budget, mean) for budget, mean in zip(budgets, means, strict=True) if mean is not None]
            if known:
                plot.errorbar(
                    [budget for budget, _ in known],
                    [100 * mean.value for _, mean in known],
                    yerr=[100 * (mean.half_width or 0) for _, mean in known],
                    color=colour(method),
                    marker="o",
                    markersize=3,
                    capsize=2,
                    label=method,
                )
        plot.set_xscale("log")
        plot.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        plot.set_xticks([], minor=True)
        plot.set_ylim(-2, 102)
        plot.set_title(f"target {target}")
        plot.set_xlabel("documents selected")
        plot.set_ylabel(f"{rare} in the selection, %")
    legend(figure, axes[0])
    return figure


def perplexity_changes(results: StudyResults) -> Figure | None:
    """Held-out perplexity against random selection, a plot per target and regime; None if nothing was trained."""
    cells = [
        (target, regime, changes)
        for regime in results.regimes
        for target in results.targets
        if (changes := _changes(results, target, regime))
    ]
    if not cells:
        return None
    figure, axes = panels(len(cells), height=3.0)
    for (target, regime, changes), plot in zip(cells, axes, strict=True):
        for row, (method, change) in enumerate(changes):
            middle = 100 * change.change
            plot.errorbar(
                middle,
                row,
                xerr=[[middle - 100 * change.low], [100 * change.high - middle]],
                color=colour(method),
                marker="o",
                capsize=3,
            )
        plot.axvline(0, color="#999999", linewidth=0.8)
        plot.set_yticks(range(len(changes)), [method for method, _ in changes], fontsize=7)
        plot.set_ylim(len(changes) - 0.5, -0.5)
        plot.set_title(f"{target}, {regime}", fontsize=9)
        plot.set_xlabel("perplexity against random, %")
    return figure


def _changes(results: StudyResults, target: str, regime: str) -> list[tuple[str, Any]]:
    found = [
        (method, results.difference(target, regime, method, "random"))
        for method in results.methods
        if method != "random"
    ]
    return [(method, change) for method, change in found if change is not None]
