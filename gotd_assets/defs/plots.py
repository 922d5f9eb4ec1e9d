"""Small pictures for metadata, each well under 100 KB of PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (5.0, 2.6)
_COLOUR = "#4f43dd"


def histogram(histogram: Mapping[str, Any], label: str) -> bytes:
    """Counts of classes that begin at `edges` and end at the next; the last is open. Empty classes at the end are cut."""
    figure, axes = _canvas()
    counts: list[float] = list(histogram["counts"])
    while len(counts) > 1 and not counts[-1]:
        counts.pop()
    names = [f"{edge:,}" for edge in histogram["edges"][: len(counts)]]
    axes.bar(names, counts, width=0.95, align="edge", color=_COLOUR)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel(f"{label}, from")
    axes.set_ylabel("documents")
    return _png(figure)


def bars(counts: Mapping[str, Any], label: str) -> bytes:
    """One horizontal bar per name, the longest on top."""
    figure, axes = _canvas()
    ordered = sorted(counts.items(), key=lambda pair: float(pair[1]))
    axes.barh([name for name, _ in ordered], [float(count) for _, count in ordered], color=_COLOUR)
    axes.set_xlabel(label)
    return _png(figure)


def scores_by_source(scores: pl.DataFrame) -> bytes:
    """Distribution of scores per source; left of the line, adding a document helps."""
    figure, axes = _canvas()
    for (source,), group in scores.group_by("source", maintain_order=True):
        axes.hist(group.get_column("score").to_numpy(), bins=60, histtype="step", density=True, label=str(source))
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_xlabel("score: calibrated gradient (negative helps)")
    axes.set_yticks([])
    axes.legend(fontsize=7, frameon=False)
    return _png(figure)


def scores_with_cut(scores: pl.Series, selected: pl.Series) -> bytes:
    """Distribution of the scores of all candidates, and of those selected; the line is the highest selected."""
    import numpy as np

    figure, axes = _canvas()
    edges: list[float] = np.histogram_bin_edges(scores.to_numpy(), bins=60).tolist()
    axes.hist(scores.to_numpy(), bins=edges, color="#c9c6ee", label=f"candidates ({len(scores):,})")
    axes.hist(selected.to_numpy(), bins=edges, color=_COLOUR, label=f"selected ({len(selected):,})")
    cut = float(np.max(selected.to_numpy()))
    axes.axvline(cut, color="black", linewidth=0.8, linestyle="--", label=f"highest selected: {cut:.4g}")
    axes.set_yscale("log")
    axes.set_xlabel("score: calibrated gradient (negative helps)")
    axes.set_ylabel("documents")
    axes.legend(fontsize=7, frameon=False)
    return _png(figure)


def shares(before: Mapping[str, float], after: Mapping[str, float]) -> bytes:
    """Share of each source among the candidates and in the selection, in the order of `before`."""
    figure, axes = _canvas(height=max(_SIZE[1], 0.9 + 0.32 * len(before)))
    rows = range(len(before))
    axes.barh([row - 0.2 for row in rows], list(before.values()), height=0.38, color="#c9c6ee", label="candidates")
    axes.barh(
        [row + 0.2 for row in rows],
        [after.get(name, 0.0) for name in before],
        height=0.38,
        color=_COLOUR,
        label="selection",
    )
    axes.set_yticks(list(rows), list(before))
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("share of the documents")
    axes.legend(fontsize=7, frameon=False)
    return _png(figure)


def curve(points: Sequence[Sequence[float]], x: str, y: str) -> bytes:
    """A line through (x, y) points."""
    figure, axes = _canvas()
    axes.plot([point[0] for point in points], [point[1] for point in points], color=_COLOUR)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return _png(figure)


def budget_curves(lines: Mapping[str, Sequence[Sequence[float]]]) -> bytes:
    """Sum of the gradients of the first k documents, one line per name; lower is better, falling means it still helps."""
    figure, axes = _canvas()
    for name, points in lines.items():
        colour = _COLOUR if len(lines) == 1 else None
        axes.plot([point[0] for point in points], [point[1] for point in points], marker=".", label=name, color=colour)
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("documents, best first")
    axes.set_ylabel("sum of gradients")
    if len(lines) > 1:
        axes.legend(fontsize=7, frameon=False)
    return _png(figure)


def _canvas(height: float = _SIZE[1]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=(_SIZE[0], height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
