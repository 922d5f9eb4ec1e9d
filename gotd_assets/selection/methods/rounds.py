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


_BLOCK = 2048
_GIVES_WAY = 0.5


def gotd_rounds(problem: SelectionProblem) -> pl.DataFrame:
    """Take a part of the budget by gradient, give it its weight, solve again from there, and go on.

    After share s of the budget the source of the transport problem is λ·s·selection + (1 − λ·s)·pool: every document
    already has the weight it will have in the effective distribution at the end. Where target mass is served, the
    gradient rises, and the next round looks elsewhere; one step cannot know, which is why single-step selections at
    extreme ratios are all alike. Where many copies of one document lie at the very middle of a topic, transport itself
    asks for more of them: near-duplicates of what is chosen give way to candidates that help at least half as much. `score` is the calibrated gradient at the time of choosing, `step` the round.

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
        chosen = pl.concat([chosen, _take(problem, allowance, ranking, number / rounds, chosen)])
    return chosen.select("doc_id", "score", "step", reason=pl.format("round {} of {}", "step", pl.lit(rounds)))


def _take(
    problem: SelectionProblem, allowance: Allowance, ranking: pl.DataFrame, share: float, chosen: pl.DataFrame
) -> pl.DataFrame:
    """The beginning of `ranking`, near-duplicates after the others whose gradient is at least half of the best.

    The half keeps a topic whose documents all lie close together from losing to documents that hardly help.
    """
    limit = problem.settings.rounds_similarity
    helping = ranking.filter(pl.col("score") <= _GIVES_WAY * pl.col("score").first().clip(upper_bound=0))
    before = _directions(problem, chosen)
    kept, passed_over = ranking.clear(), ranking.clear()
    for begin in range(0, helping.height if limit < 1 else 0, _BLOCK):
        block = helping.slice(begin, _BLOCK)
        vectors = _directions(problem, block)
        free = _apart(vectors, before, limit)
        before = np.concatenate([before, vectors[free]])
        kept = pl.concat([kept, block.filter(pl.Series(free))])
        passed_over = pl.concat([passed_over, block.filter(pl.Series(~free))])
        taken = allowance.take(kept, share, chosen)
        if taken.height < kept.height:
            return taken
    rest = ranking.slice(kept.height + passed_over.height)
    return allowance.take(pl.concat([kept, passed_over, rest]), share, chosen)


def _apart(vectors: npt.NDArray[Any], before: npt.NDArray[Any], limit: float) -> npt.NDArray[np.bool_]:
    """Which rows of `vectors` (n, D) are no nearer than `limit` to `before` (m, D) and to earlier rows that are kept."""
    free = np.ones(len(vectors), dtype=np.bool_)
    for begin in range(0, len(before), _BLOCK):
        free &= (vectors @ before[begin : begin + _BLOCK].T <= limit).all(axis=1)
    near = np.triu(vectors @ vectors.T > limit, k=1)
    for row in np.flatnonzero(near.any(axis=1)):
        if free[row]:
            free &= ~near[row]
    return free


def _directions(problem: SelectionProblem, rows: pl.DataFrame) -> npt.NDArray[Any]:
    """Vectors (n, D) of `rows`, scaled to length 1; zero vectors stay."""
    if not rows.height:
        return np.empty((0, problem.target.shape[1]), dtype=np.float32)
    vectors = problem.pool.take(rows["row"].to_numpy())
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def _effective(n: int, chosen: pl.DataFrame, mass: float) -> npt.NDArray[Any]:
    """Weights (n,) of mass·chosen + (1 − mass)·uniform."""
    weights = np.full(n, (1 - mass) / n)
    weights[chosen["row"].to_numpy()] += mass / max(1, chosen.height)
    return weights
