"""Plots for metadata: Markdown with an SVG picture, of less than 1,000 characters but for many sources or methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from gotd_assets.catalogue.drawing import (
    GREY,
    INK,
    LINES,
    PALE,
    WIDTH,
    Drawing,
    bar,
    columns,
    number,
    polyline,
)

if TYPE_CHECKING:
    import polars as pl

_BINS = 30
_HEADER, _BOTTOM, _HEIGHT = 18, 100, 118
_ROW = 20
# Names of sources stand left of their bars.
_NAMES = 150
_POINTS = 50


def histogram(histogram: Mapping[str, Any], label: str) -> str:
    """Counts of classes that begin at `edges` and end at the next; the last is open. Empty classes at the end are cut."""
    counts: list[float] = list(histogram["counts"])
    while len(counts) > 1 and not counts[-1]:
        counts.pop()
    drawing = Drawing(_HEIGHT + 14)
    width = WIDTH // len(counts)
    heights = _heights(counts, _BOTTOM - _HEADER)
    drawing.area(
        "".join(bar(k * width, _BOTTOM - high, width - 2, high) for k, high in enumerate(heights) if high), INK
    )
    every = math.ceil(len(counts) / 10)
    for k, edge in list(enumerate(histogram["edges"][: len(counts)]))[::every]:
        drawing.text(k * width, _BOTTOM + 12, number(edge))
    drawing.text(0, 11, f"{number(sum(counts))} documents, at most {number(max(counts))} in a class")
    drawing.footer("", f"{label}, from", "")
    return drawing.markdown(label)


def bars(counts: Mapping[str, float], label: str) -> str:
    """One horizontal bar per name, the longest on top."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    most = max((value for _, value in ordered), default=0) or 1
    drawing = Drawing(_ROW * (len(ordered) + 1))
    lengths = [round(value / most * (WIDTH - _NAMES)) for _, value in ordered]
    drawing.area("".join(bar(_NAMES, k * _ROW + 3, length, 12) for k, length in enumerate(lengths)), INK)
    for k, (name, value) in enumerate(ordered):
        drawing.text(0, k * _ROW + 13, f"{name} {number(value)}")
    drawing.footer("", "", label)
    return drawing.markdown(label)


def scores_by_source(scores: pl.DataFrame) -> str:
    """Where the scores of each source lie: the line holds 90 % of them, the bar half; left of the rule, adding helps."""
    import polars as pl

    score = pl.col("score")
    rows = (
        scores.group_by("source")
        .agg(*(score.quantile(share).alias(str(share)) for share in (0.05, 0.25, 0.5, 0.75, 0.95)))
        .sort("0.5")
    )
    low, high = min(0.0, _least(rows, "0.05")), max(0.0, _most(rows, "0.95"))
    drawing = Drawing(_ROW * (rows.height + 1))

    def place(value: float) -> int:
        return _NAMES + round(_share(value, low, high) * (WIDTH - _NAMES))

    lines, halves = "", ""
    for k, (_, five, quarter, _median, three_quarters, ninety_five) in enumerate(rows.iter_rows()):
        middle = k * _ROW + 9
        lines += f"M{place(five)},{middle}H{place(ninety_five)}"
        halves += bar(place(quarter), middle - 5, max(1, place(three_quarters) - place(quarter)), 10)
    drawing.line(lines, INK)
    drawing.area(halves, INK)
    drawing.line(f"M{place(0)},0v{rows.height * _ROW}", GREY, dashed=True)
    for k, (name, median) in enumerate(rows.select("source", "0.5").iter_rows()):
        drawing.text(0, k * _ROW + 13, f"{name} {number(median)}")
    drawing.footer("source, median", "", f"score, {number(low)} to {number(high)}")
    return drawing.markdown("scores by source")


def scores_with_cut(scores: pl.Series, selected: pl.Series) -> str:
    """Distribution of the scores of all candidates, and of those selected, in logarithmic heights; the line is the highest selected."""
    import numpy as np

    values, chosen = scores.to_numpy(), selected.to_numpy()
    counts, edges = np.histogram(values, bins=_BINS)
    drawing = Drawing(_HEIGHT)
    height, most = _BOTTOM - _HEADER, float(counts.max())
    width = WIDTH // _BINS
    drawing.area(columns(_heights(counts.tolist(), height, log=True), width, _BOTTOM), PALE)
    shown = np.histogram(chosen, bins=edges)[0].tolist()
    drawing.area(columns(_heights(shown, height, log=True, most=most), width, _BOTTOM), INK)
    cut = float(chosen.max())
    x = round(_share(cut, float(edges[0]), float(edges[-1])) * width * _BINS)
    drawing.line(f"M{x},{_HEADER}V{_BOTTOM}", GREY, dashed=True)
    drawing.text(0, 11, f"{len(chosen):,} selected, the last at {number(cut)}", INK)
    drawing.text(WIDTH, 11, f"of {len(values):,}", anchor="end")
    drawing.footer(number(float(edges[0])), "score (log count)", number(float(edges[-1])))
    return drawing.markdown("scores, and where the selection ends")


def shares(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Share of each source among the candidates (pale) and in the selection, in the order of `before`."""
    drawing = Drawing(_ROW * (len(before) + 1))

    def rows(of: Mapping[str, float], y: int) -> str:
        lengths = [round(of.get(name, 0.0) * (WIDTH - _NAMES)) for name in before]
        return "".join(bar(_NAMES, k * _ROW + y, length, 7) for k, length in enumerate(lengths) if length)

    drawing.area(rows(before, 1), PALE)
    drawing.area(rows(after, 8), INK)
    for k, (name, share) in enumerate(before.items()):
        drawing.text(0, k * _ROW + 12, f"{name} {100 * share:.1f} to {100 * after.get(name, 0.0):.1f}")
    drawing.footer("% of candidates, of selection", "", "100%")
    return drawing.markdown("share of each source before and after")


def curve(points: Sequence[Sequence[float]], x: str, y: str) -> str:
    """A line through (x, y) points."""
    drawing = Drawing(_HEIGHT)
    values = [point[1] for point in points]
    drawing.line(_line(points, min(values), max(values)), INK, width=2 if len(points) > 1 else 6)
    drawing.text(0, 11, f"{y} {number(values[0])} → {number(values[-1])}, lowest {number(min(values))}", INK)
    drawing.line(f"M0,{_BOTTOM}H{WIDTH}", GREY)
    drawing.footer(number(points[0][0]), x, number(points[-1][0]))
    return drawing.markdown(y)


def budget_curves(lines: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Sum of the gradients of the first k documents, one line per name; lower is better, falling means it still helps."""
    values = [point[1] for points in lines.values() for point in points]
    low, high = min(0.0, *values), max(0.0, *values)
    longest = max(lines.values(), key=lambda points: points[-1][0])
    drawing = Drawing(_HEIGHT)
    zero = _BOTTOM - round(_share(0.0, low, high) * (_BOTTOM - _HEADER))
    drawing.line(f"M0,{zero}H{WIDTH}", GREY)
    for k, (name, points) in enumerate(lines.items()):
        colour = LINES[k % len(LINES)]
        scaled = [(math.log(max(1.0, point[0])), point[1]) for point in points]
        path = _line(scaled, low, high, math.log(max(1.0, longest[-1][0])), points_at_most=max(8, 36 // len(lines)))
        drawing.line(path, colour, width=2)
        drawing.text(k * WIDTH // len(lines), 11, f"{name} {number(points[-1][1])}", colour)
    drawing.footer("1", "sum of gradients of the best k documents (log)", number(longest[-1][0]))
    return drawing.markdown("sum of gradients by budget")


def over_budgets(lines: Mapping[str, Sequence[float | None]], budgets: Sequence[str], label: str) -> str:
    """One line per name over budgets in their order, evenly spaced; the rule is zero; what is None is left out."""
    values = [value for line in lines.values() for value in line if value is not None]
    low, high = min(0.0, *values), max(0.0, *values)
    drawing = Drawing(_HEIGHT)
    drawing.line(f"M0,{_BOTTOM - round(_share(0.0, low, high) * (_BOTTOM - _HEADER))}H{WIDTH}", GREY)
    for place, (name, line) in enumerate(lines.items()):
        known = [(float(position), value) for position, value in enumerate(line) if value is not None]
        colour = LINES[place % len(LINES)]
        if known:
            at = [(x + 0.5) / len(budgets) for x, _ in known]
            drawing.line(_line(list(zip(at, (y for _, y in known), strict=True)), low, high, 1.0), colour, width=2)
        drawing.text(place * WIDTH // len(lines), 11, name, colour)
    drawing.footer(budgets[0], label, budgets[-1])
    return drawing.markdown(label)


def _line(
    points: Sequence[Sequence[float]],
    low: float,
    high: float,
    furthest: float | None = None,
    *,
    points_at_most: int = _POINTS,
) -> str:
    """Path through so many of the points, in the frame between header and axis."""
    every = math.ceil(len(points) / points_at_most)
    kept = [*points[:-1:every], points[-1]]
    first = 0.0 if furthest is not None else points[0][0]
    last = points[-1][0] if furthest is None else furthest
    return polyline(
        [
            (round(_share(x, first, last) * WIDTH), _BOTTOM - 2 - round(_share(y, low, high) * (_BOTTOM - _HEADER - 4)))
            for x, y in kept
        ]
    )


def _heights(counts: Sequence[float], height: int, *, log: bool = False, most: float | None = None) -> list[int]:
    """Pixels of each count; one that is not zero has at least one."""
    scale = math.log1p if log else float
    top = scale(max(counts) if most is None else most) or 1
    return [max(1, round(height * scale(count) / top)) if count else 0 for count in counts]


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _least(frame: pl.DataFrame, column: str) -> float:
    return float(cast("float", frame.get_column(column).min()))


def _most(frame: pl.DataFrame, column: str) -> float:
    return float(cast("float", frame.get_column(column).max()))
