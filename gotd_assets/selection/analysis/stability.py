"""How much of a selection stays if the target had been another sample of the same task."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.selection.methods import select
from gotd_assets.selection.pool.pool import scores_by_shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.settings.transport import SketchSettings
    from gotd_assets.transport import Potentials, Sketch

_TOLERANCE = 0.05  # marginal error; the sampling of the target moves scores more than this
_MOST_COSTS = 500_000_000  # pool times target: a solve of about a minute on two cores


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
    potentials = problem.potentials
    if potentials is None:
        raise ValueError("bootstrap_overlaps needs a problem with its potentials")
    from gotd_assets.transport import make_sketch

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
        overlap = _overlap(name, dataclasses.replace(problem, target=target), potentials, sketched, chosen)
        overlaps.append(overlap)
        if progress is not None:
            progress(f"bootstrap target {number + 1} of {resamples}: {overlap:.1%} of the selection stays")
    return overlaps


def sketch_overlap(name: str, problem: SelectionProblem, chosen: pl.Series) -> float | None:
    """Share of `chosen` (doc_ids) that method `name` selects again where all points of the target stand for it.

    What the sketch costs in the selection. None where there is no sketch, or the solve would take long.
    """
    from gotd_assets.transport import make_sketch

    potentials = problem.potentials
    points = len(problem.target)
    if potentials is None or len(potentials.sketch.points) >= points or points * problem.pool.n_rows > _MOST_COSTS:
        return None
    whole = make_sketch(problem.target, method="all", cost=potentials.problem.cost)
    return _overlap(name, problem, potentials, whole, chosen)


def _overlap(name: str, problem: SelectionProblem, potentials: Potentials, sketch: Sketch, chosen: pl.Series) -> float:
    """Share of `chosen` that is selected again, as many documents, with another `sketch` of the target."""
    solved = potentials.again(
        problem.pool.vectors, sketch=sketch, tolerance=max(_TOLERANCE, potentials.problem.tolerance)
    )
    scores = pl.concat(problem.selectable(scores_by_shard(problem.pool, solved)))
    again = dataclasses.replace(problem, scores=scores, scored=None, potentials=solved, budget=len(chosen))
    selected = select(name, again).get_column("doc_id")
    return float(selected.is_in(chosen.implode()).sum()) / len(selected)
