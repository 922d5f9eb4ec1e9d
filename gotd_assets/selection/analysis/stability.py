"""How much of a selection stays if the target had been another sample of the same task."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.selection.methods import select
from gotd_assets.selection.pool.pool import scores_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.settings.transport import SketchSettings

_TOLERANCE = 0.05  # marginal error; the sampling of the target moves scores more than this


def bootstrap_overlaps(
    name: str,
    problem: SelectionProblem,
    chosen: pl.Series,
    sketch: SketchSettings,
    resamples: int,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[float]:
    """Share of `chosen` (doc_ids) that method `name` selects again for each of `resamples` bootstrap targets.

    A bootstrap target has as many documents, drawn with replacement; it is sketched anew and the transport problem
    solved from the potentials of the whole target, to a marginal error of 0.05. The number of documents stays.
    """
    from gotd_assets.transport import make_sketch

    potentials = problem.potentials
    if potentials is None:
        raise ValueError("bootstrap_overlaps needs a problem with its potentials")
    overlaps = []
    for number in range(resamples):
        rows = np.random.default_rng([problem.seed, number]).integers(0, len(problem.target), len(problem.target))
        target = problem.target[rows]
        sketched = make_sketch(
            target,
            method=sketch.method,
            size=sketch.points(len(target)),
            tolerance=sketch.tolerance,
            cost=potentials.problem.cost,
            seed=number + 1,
        )
        solved = potentials.again(
            problem.pool.vectors, sketch=sketched, tolerance=max(_TOLERANCE, potentials.problem.tolerance)
        )
        scores = scores_of(problem.pool, solved).join(problem.scores.select("doc_id"), on="doc_id", how="semi")
        again = dataclasses.replace(problem, scores=scores, target=target, potentials=solved, budget=len(chosen))
        selected = select(name, again).get_column("doc_id")
        overlap = float(selected.is_in(chosen.implode()).sum()) / len(selected)
        overlaps.append(overlap)
        if progress is not None:
            progress(f"bootstrap target {number + 1} of {resamples}: {overlap:.1%} of the selection stays")
    return overlaps
