"""GOT-D in rounds: Frank–Wolfe on the transport cost of the effective distribution."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.selection.budget import Allowance

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem


def gotd_rounds(problem: SelectionProblem) -> pl.DataFrame:
    """Take a part of the budget by gradient, give it its weight, solve again from there, and go on.

    After share s of the budget the source of the transport problem is λ·s·selection + (1 − λ·s)·pool: every document
    already has the weight it will have in the effective distribution at the end. Where target mass is served, the
    gradient rises, and the next round looks elsewhere; one step cannot know, which is why single-step selections at
    extreme ratios are all alike. `score` is the calibrated gradient at the time of choosing, `step` the round.

    Raises:
        InputError: the potentials are missing.
    """
    import torch

    from gotd_assets.transport import solve
    from gotd_assets.transport.source import prepare, resolve_device

    potentials = problem.potentials
    if potentials is None:
        raise InputError("method 'gotd-rounds' needs the solved potentials")
    potentials = dataclasses.replace(potentials, self_sketch=None, self_g=None)
    allowance = Allowance.of(problem)
    rounds = (
        problem.settings.rounds if allowance.lengths is not None else min(problem.settings.rounds, allowance.amount)
    )
    source = prepare(
        problem.pool.vectors,
        dimension=potentials.sketch.points.shape[1],
        centre=potentials.sketch.centre,
        device=resolve_device("auto"),
        dtype=torch.float32,
    )
    candidates = problem.pool.doc_ids().with_row_index("row").join(problem.scores, on="doc_id", how="semi")
    chosen = pl.DataFrame(schema={"row": pl.UInt32, "doc_id": pl.String, "score": pl.Float64, "step": pl.Int32})
    for number in range(1, rounds + 1):
        if number > 1:
            weights = _effective(source.n_rows, chosen, problem.settings.mixing * (number - 1) / rounds)
            potentials = solve(
                dataclasses.replace(source, weights=torch.from_numpy(weights)),
                potentials.sketch,
                cost=potentials.cost,
                epsilon=potentials.epsilon,
                reach=potentials.reach,
                tolerance=potentials.certificate.tolerance,
                initial=potentials,
            )
        gradient = np.concatenate([potentials.scores(shard.vectors).numpy() for shard in problem.pool])
        ranking = (
            candidates.with_columns(score=pl.Series(gradient).gather(candidates["row"]) * problem.sign)
            .join(chosen, on="doc_id", how="anti")
            .sort("score", "doc_id")
            .select("row", "doc_id", "score", step=pl.lit(number, dtype=pl.Int32))
        )
        chosen = pl.concat([chosen, allowance.take(ranking, number / rounds, chosen)])
    return chosen.select("doc_id", "score", "step", reason=pl.format("round {} of {}", "step", pl.lit(rounds)))


def _effective(n: int, chosen: pl.DataFrame, mass: float) -> npt.NDArray[Any]:
    """Weights (n,) of mass·chosen + (1 − mass)·uniform."""
    weights = np.full(n, (1 - mass) / n)
    weights[chosen["row"].to_numpy()] += mass / max(1, chosen.height)
    return weights
