"""Numbers, intervals and tables of the page in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gotd_assets.catalogue.tables import markdown_table

Told = Mapping[str, Any]
_LEVEL = 0.05
_NAMES = {"base": "the base model"}


def mean(told: Told | None, form: str) -> str:
    """A mean over seeds, with half of its interval where there are several."""
    if told is None:
        return ""
    value = form.format(told["value"])
    return value if told["half_width"] is None else f"{value} ± {form.format(told['half_width'])}"


def estimate(told: Told, unit: float) -> str:
    """A difference with its interval, in multiples of 1/`unit`, and its corrected p."""
    digits = 1 if unit > 1 else 3
    value, low, high = (f"{unit * told[name]:+.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}], p {told['corrected']:.2g}"


def change(told: Told) -> str:
    """A change of perplexity in percent with its interval and corrected p."""
    value, low, high = (f"{100 * told[name]:+.1f}" for name in ("change", "low", "high"))
    return f"{value} % [{low}, {high}], p {told['corrected']:.2g}"


def arms_table(
    told: Told,
    columns: Mapping[str, Callable[[str], str]],
    figures: Mapping[str, Told],
    *,
    base_perplexity: float | None,
) -> list[str]:
    """The base model and every arm: `columns` of arms by name, and means of `figures`."""
    base = [
        f"{base_perplexity:.2f}" if name == "perplexity" and base_perplexity is not None else "" for name in columns
    ]
    base += ["" if figure["base"] is None else f"{figure['base']:.3f}" for figure in figures.values()]
    rows = [["base model", *base]]
    for arm in told["arms"]:
        rows.append(
            [
                arm,
                *(column(arm) for column in columns.values()),
                *(mean(figure["means"].get(arm), "{:.3f}") for figure in figures.values()),
            ]
        )
    return markdown_table(["method", *columns, *figures], rows)


def differences_table(figures: Mapping[str, Told], unit: float) -> list[str]:
    """Differences by arm and what it is compared with, a column for each figure."""
    of_figures = [figure["differences"] for figure in figures.values()]
    pairs = list(dict.fromkeys((d["arm"], d["other"]) for told in of_figures for d in told))
    rows = []
    for arm, other in pairs:
        found = [next((d for d in told if (d["arm"], d["other"]) == (arm, other)), None) for told in of_figures]
        rows.append(
            [f"{arm} against {_NAMES.get(other, other)}", *("" if d is None else estimate(d, unit) for d in found)]
        )
    return markdown_table(["", *figures], rows)


def perplexities_table(told: Sequence[Told]) -> list[str]:
    """Changes of held-out perplexity, and which are sure."""
    if not told:
        return []
    rows = [[f"{d['arm']} against {_NAMES.get(d['other'], d['other'])}", change(d)] for d in told]
    lines = markdown_table(["perplexity on held-out text of the target", "change"], rows)
    found = [
        f"{d['arm']} {'lower' if d['change'] < 0 else 'higher'} than {_NAMES.get(d['other'], d['other'])}"
        for d in told
        if d["corrected"] < _LEVEL and d["seeds"] > 1
    ]
    return [*lines, f"Sure: {'; '.join(found)}." if found else "No change is sure.", ""]


def named(figures: Mapping[str, Told]) -> list[dict[str, Any]]:
    """The differences of all `figures`, each with its figure's name."""
    return [{**difference, "figure": name} for name, figure in figures.items() for difference in figure["differences"]]


def sure(differences: Sequence[Told], unit: float, name: str) -> list[str]:
    """What is sure among `differences`, each of a 'figure', and how wide the intervals are."""
    if not differences:
        return []
    digits = 1 if unit > 1 else 3
    found = [
        f"{d['arm']} {unit * d['value']:+.{digits}f} against {_NAMES.get(d['other'], d['other'])} ({d['figure']})"
        for d in differences
        if d["corrected"] < _LEVEL and d["seeds"] > 1
    ]
    room = max(max(abs(d["low"]), abs(d["high"])) for d in differences) * unit
    widths = sorted(unit * (d["high"] - d["low"]) / 2 for d in differences)
    told = (
        f"Sure, of {len(differences)} differences: {'; '.join(found)}."
        if found
        else f"None of the {len(differences)} differences is sure; their intervals leave room for {room:.{digits}f}{name and ' ' + name}."
    )
    middle = f"{widths[len(widths) // 2]:.{digits}f}{name and ' ' + name}"
    return [f"{told} Half an interval is {middle} in the middle: a smaller effect cannot be told from none here."]
