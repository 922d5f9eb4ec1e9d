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
    from gotd_assets.transport import Potentials


_BLOCK = 2048
_GIVES_WAY = 0.5
_CHOSEN = {"row": pl.UInt32, "doc_id": pl.String, "score": pl.Float64, "step": pl.Int32}


def gotd_rounds(problem: SelectionProblem) -> pl.DataFrame:
    """Take a part of the budget by gradient, give it its weight, solve again from there, and go on.

    After share s of the budget the source of the transport problem is λ·s·selection + (1 − λ·s)·pool: every document
    already has the weight it will have in the effective distribution at the end. Where target mass is served, the
    gradient rises, and the next round looks elsewhere; one step cannot know, which is why single-step selections at
    extreme ratios are all alike. Where many copies of one document lie at the very middle of a topic, transport itself
    asks for more of them: near-duplicates of what is chosen give way to candidates that help at least half as much.

    What was taken early may be dispensable in the end: documents whose gradient at the final distribution is highest
    are exchanged for candidates with a lower one, as in pairwise Frank–Wolfe, while the transport cost falls (at most
    as many solves as rounds; not for budgets in tokens). `score` is the calibrated gradient at the time of choosing,
    `step` the round.

    Raises:
        InputError: the potentials are missing.
    """
    if problem.potentials is None:
        raise InputError("method 'gotd-rounds' needs the solved potentials")
    allowance = Allowance.of(problem)
    counted = allowance.lengths is None
    rounds = min(problem.settings.rounds, allowance.amount) if counted else problem.settings.rounds
    measure = _Measure(problem, problem.potentials)
    potentials = dataclasses.replace(problem.potentials, self_sketch=None, self_g=None)
    chosen = pl.DataFrame(schema=_CHOSEN)
    for number in range(1, rounds + 1):
        if number > 1:
            potentials = measure.solve(chosen, problem.settings.mixing * (number - 1) / rounds, potentials)
        ranking = measure.ranking(potentials, number).join(chosen, on="doc_id", how="anti", maintain_order="left")
        chosen = pl.concat([chosen, _take(problem, allowance, ranking, number / rounds, chosen)])
    if counted and rounds > 1:
        chosen = _exchange(problem, measure, chosen, rounds, potentials)
    return chosen.select(
        "doc_id",
        "score",
        "step",
        reason=pl.when(pl.col("step") > rounds)
        .then(pl.lit("exchanged for one that helps less in the end"))
        .otherwise(pl.format("round {} of {}", "step", pl.lit(rounds))),
    )


class _Measure:
    """The effective distribution as the source of transport problems, and the candidates by gradient there."""

    def __init__(self, problem: SelectionProblem, potentials: Potentials) -> None:
        from gotd_assets.transport import PreparedSource

        self._problem = problem
        self._source = PreparedSource.of(problem.pool.vectors, potentials.sketch.centre, potentials.problem)
        self._candidates = problem.pool.doc_ids().with_row_index("row").join(problem.scores, on="doc_id", how="semi")

    def solve(self, chosen: pl.DataFrame, mass: float, initial: Potentials) -> Potentials:
        """Potentials of mass·chosen + (1 − mass)·pool, from `initial`."""
        n = self._source.n_rows
        weights = np.full(n, (1 - mass) / n)
        weights[chosen["row"].to_numpy()] += mass / max(1, chosen.height)
        return initial.again(self._source.weighted(weights))

    def ranking(self, potentials: Potentials, step: int) -> pl.DataFrame:
        """Every candidate by its gradient, best first: row in the pool, doc_id, score, step."""
        gradient = np.concatenate([potentials.scores(vectors).numpy() for vectors in self._problem.pool.vectors])
        scores = pl.Series(gradient).gather(self._candidates["row"]) * self._problem.sign
        return (
            self._candidates.with_columns(score=scores, step=pl.lit(step, dtype=pl.Int32))
            .sort("score", "doc_id")
            .select(*_CHOSEN)
        )


def _exchange(
    problem: SelectionProblem, measure: _Measure, chosen: pl.DataFrame, rounds: int, potentials: Potentials
) -> pl.DataFrame:
    """`chosen` with its least useful documents exchanged while that lowers (away: raises) the transport cost."""
    mixing, limit = problem.settings.mixing, problem.settings.rounds_similarity
    current = measure.solve(chosen, mixing, potentials)
    pairs = -(-chosen.height // rounds)
    for _ in range(rounds):
        ranking = measure.ranking(current, rounds + 1)
        worst = ranking.join(chosen, on="doc_id", how="semi", maintain_order="left").reverse().head(pairs)
        kept = chosen.join(worst, on="doc_id", how="anti", maintain_order="left")
        incoming = ranking.head(chosen.height + _BLOCK).join(chosen, on="doc_id", how="anti", maintain_order="left")
        if limit < 1:
            free = _apart(_directions(problem, incoming), _directions(problem, kept), limit)
            incoming = incoming.filter(pl.Series(free))
        incoming = incoming.head(worst.height)
        better = incoming["score"] < worst["score"].head(incoming.height)
        incoming = incoming.filter(better)
        if not incoming.height:
            break
        outgoing = worst.head(incoming.height)
        candidate = pl.concat([chosen.join(outgoing, on="doc_id", how="anti", maintain_order="left"), incoming])
        solved = measure.solve(candidate, mixing, current)
        if problem.sign * (solved.certificate.dual_value - current.certificate.dual_value) < 0:
            chosen, current = candidate, solved
        elif pairs > 1:
            pairs = -(-pairs // 4)
        else:
            break
    return chosen


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
