"""Figure 3 on points of two Gaussians, cats and dogs, whose densities are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from benchmarks.study.figure_three import RARE_SHARE, TARGET, Experiment, solved_problem
from gotd_assets.embedding.store import id_bytes
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.settings.selection import SelectionSettings

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem

POOL, BUDGETS, BUDGET = 10_000, (5, 10, 25, 50, 75, 100), 50
DIMENSION, DISTANCE, EPSILON = 8, 6.0, 0.5
# Importance resampling by the true densities: what DSIR estimates from n-grams. It needs no estimate here.
RESAMPLING = "importance resampling"
METHODS = ("gotd", "gotd-rounds", "tapt-c", "tsds", "random", RESAMPLING)


def points_experiment(folder: Path, budgets: tuple[int, ...] = BUDGETS, seed: int = 0) -> Experiment:
    """The same for the same seed.

    Args:
        folder: empty; gets the points, and is needed as long as the experiment is.
        budgets: see `Experiment`.
        seed: of the points and of the methods that draw.
    """
    from gotd_assets.selection.methods import method_named, select

    pool, is_rare, vectors = _pool(folder, seed)

    def choose(method: str, problem: SelectionProblem, mixture: float) -> pl.Series:
        if method == RESAMPLING:
            return _resampled(problem, vectors, mixture)
        return select(method, problem).sort("rank").get_column("doc_id")

    return Experiment(
        rare="dogs",
        methods=METHODS,
        budgets=budgets,
        budget=BUDGET,
        is_rare=is_rare,
        pose=lambda mixture: _problem(pool, mixture, seed),
        choose=choose,
        nested=frozenset(name for name in METHODS if name == RESAMPLING or method_named(name).nested),
    )


def _centres() -> npt.NDArray[np.float64]:
    """Of cats and dogs, (2, D)."""
    return np.stack([np.zeros(DIMENSION), np.eye(DIMENSION)[0] * DISTANCE])


def _drawn(dogs: npt.NDArray[np.bool_], random: np.random.Generator) -> npt.NDArray[np.float32]:
    points = _centres()[dogs.astype(int)] + random.standard_normal((len(dogs), DIMENSION))
    drawn: npt.NDArray[np.float32] = points.astype(np.float32)
    return drawn


def _pool(folder: Path, seed: int) -> tuple[Pool, pl.DataFrame, npt.NDArray[np.float32]]:
    random = np.random.default_rng((seed, 0))
    dogs = np.arange(POOL) < round(POOL * RARE_SHARE)
    vectors = _drawn(dogs, random)
    doc_ids = pl.Series("doc_id", [document_id(f"point {row}") for row in range(POOL)])
    np.save(folder / "vectors-00000.npy", vectors)
    np.save(folder / "ids-00000.npy", id_bytes(doc_ids))
    pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String}).write_parquet(folder / "left_out.parquet")
    pool = Pool.open({"animals": folder}, folder / "left_out.parquet")
    return pool, pl.DataFrame({"doc_id": doc_ids, "rare": dogs}), vectors


def _problem(pool: Pool, mixture: float, seed: int) -> SelectionProblem:
    random = np.random.default_rng((seed, 1, round(1000 * mixture)))
    target = _drawn(np.arange(TARGET) < round(TARGET * mixture), random)
    # The guard against near-duplicates goes by directions, which mean nothing for these points.
    settings = SelectionSettings(rounds=5, rounds_similarity=1.0)
    return solved_problem(pool, target, epsilon=EPSILON, seed=seed, settings=settings)


def _resampled(problem: SelectionProblem, vectors: npt.NDArray[np.float32], mixture: float) -> pl.Series:
    """A draw without replacement by target density over pool density (Gumbel top-k, as DSIR draws)."""
    squared = ((vectors[:, None, :].astype(np.float64) - _centres()) ** 2).sum(axis=2)
    density = np.exp(-squared / 2)
    weight = density @ [1 - mixture, mixture] / (density @ [1 - RARE_SHARE, RARE_SHARE])
    noise = np.random.default_rng((problem.seed, 2)).gumbel(size=len(vectors))
    with np.errstate(divide="ignore"):
        order = np.argsort(-(np.log(weight) + noise), kind="stable")
    return problem.pool.doc_ids().get_column("doc_id").gather(order[: int(problem.budget)])
