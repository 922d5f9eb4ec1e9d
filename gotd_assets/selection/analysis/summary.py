"""The figures of a selection that are worth showing beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.selection.analysis.diversity import diversity_of
from gotd_assets.selection.analysis.worth import budget_curve

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.fingerprint import Json
    from gotd_assets.selection.problem import SelectionProblem


def figures_of(subset: pl.DataFrame, vectors: npt.NDArray[Any], problem: SelectionProblem) -> dict[str, Json]:
    """Size, sources, cut, calibrated zero, diversity and budget curve of a selection.

    Args:
        subset: the selection, best first (doc_id, text, source, score).
        vectors: (n, D), row by row those of the ranking that `subset` was written from.
        problem: what was selected from, with its potentials.
    """
    shares = subset.group_by("source").len().sort("source")
    gradients = subset.select("doc_id").join(
        problem.scores.select("doc_id", gradient="score"), on="doc_id", how="left", maintain_order="left"
    )
    values = gradients.get_column("gradient").to_numpy() * problem.sign
    figures: dict[str, Json] = {
        "documents": subset.height,
        "characters": int(subset.get_column("text").str.len_chars().sum()),
        "per_source": dict(zip(shares["source"].to_list(), shares["len"].to_list(), strict=True)),
        "cut_score": float(subset.get_column("score")[-1]),
        "selectable": problem.available,
        "selectable_helping": problem.helping,
        "selected_helping": int((values < 0).sum()),
        "mean_gradient": float(values.mean()),
        "budget_curve": [list(point) for point in budget_curve(values)],
    }
    if problem.potentials is not None:
        sketch = problem.potentials.sketch
        figures |= diversity_of(vectors, sketch.points.numpy(), np.asarray(sketch.weights)).as_summary()
    return figures
