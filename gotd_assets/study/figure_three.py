"""Figure 3 of Kang et al. (2024) in full: what matching methods and the gradient of transport select from 99:1.

A model was pre-trained on 99 % cats and 1 % dogs and is to be prepared for half cats, half dogs. Methods that match the
target select half dogs, although the model knows cats well enough; the gradient selects what is missing. Here for
several mixtures in the target and several budgets, on points of two Gaussians.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.embedding.store import id_bytes
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.pool import Pool
from gotd_assets.settings import SelectionSettings

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from gotd_assets.selection.problem import SelectionProblem

POOL, RARE_SHARE, TARGET = 10_000, 0.01, 200
DIMENSION, DISTANCE, EPSILON = 8, 6.0, 0.5
MIXTURES = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)
BUDGETS = (5, 10, 25, 50, 75, 100)
# The budget of the plot over mixtures, and the mixture of the plot over budgets.
BUDGET, MIXTURE = 50, 0.5
METHODS = ("gotd", "gotd-rounds", "tapt-c", "tsds", "random")
# Importance resampling by the true densities: what DSIR estimates from n-grams. It needs no estimate here.
RESAMPLING = "importance resampling"
_WANTED_LAMBDA = 0.2


@dataclasses.dataclass(frozen=True)
class Point:
    """What one method selected: its share of dogs, and the transport cost to the target before and after.

    The cost is that of λ·selection + (1 − λ)·pool for λ = .2.
    """

    method: str
    mixture: float
    budget: int
    dogs: float
    before: float
    after: float


def figure_three(mixtures: Sequence[float] = MIXTURES, budgets: Sequence[int] = BUDGETS, seed: int = 0) -> list[Point]:
    """What every method selects from the same pool; the same for the same seed.

    Args:
        mixtures: shares of dogs in the target, each met with `BUDGET` documents.
        budgets: documents to select for the target of share `MIXTURE`.
        seed: of the points and of the methods that draw.
    """
    from gotd_assets.selection.methods import select
    from gotd_assets.selection.worth import worth_of

    points = []
    with tempfile.TemporaryDirectory() as folder:
        pool, is_dog, vectors = _pool(Path(folder), seed)
        wanted = {mixture: (budgets if mixture == MIXTURE else (BUDGET,)) for mixture in mixtures}
        for mixture, sizes in wanted.items():
            problem = _problem(pool, mixture, seed)
            potentials: Any = problem.potentials
            for budget in sizes:
                chosen = {
                    method: select(method, dataclasses.replace(problem, budget=budget)).get_column("doc_id")
                    for method in METHODS
                }
                chosen[RESAMPLING] = _resampled(problem, vectors, mixture, budget, seed)
                for method, doc_ids in chosen.items():
                    worth = worth_of(doc_ids, pool, potentials, _WANTED_LAMBDA)
                    dogs = float(is_dog.filter(pl.col("doc_id").is_in(doc_ids.implode()))["dog"].sum()) / len(doc_ids)
                    points.append(Point(method, mixture, budget, dogs, worth.before, worth.after))
    return points


def draw(points: Sequence[Point]) -> Figure:
    """The plot: dogs selected over budgets, over mixtures, and the transport cost saved over budgets."""
    from gotd_assets.study.plots import colour, legend, panels

    figure, (over_budgets, over_mixtures, saved) = panels(3)
    methods = list(dict.fromkeys(point.method for point in points))
    for method in methods:
        budgets = [point for point in points if point.method == method and point.mixture == MIXTURE]
        mixtures = [point for point in points if point.method == method and point.budget == BUDGET]
        shade = colour("dsir" if method == RESAMPLING else method)
        style: dict[str, Any] = {"color": shade, "marker": "o", "markersize": 3, "label": method}
        over_budgets.plot([p.budget for p in budgets], [100 * p.dogs for p in budgets], **style)
        over_mixtures.plot([100 * p.mixture for p in mixtures], [100 * p.dogs for p in mixtures], **style)
        saved.plot([p.budget for p in budgets], [p.before - p.after for p in budgets], **style)
    over_mixtures.plot([0, 100], [0, 100], color="#CCCCCC", linewidth=0.8, zorder=0)
    over_budgets.set(title=f"target {MIXTURE:.0%} dogs", xlabel="selected", ylabel="dogs in the selection, %")
    over_mixtures.set(title=f"{BUDGET} selected", xlabel="dogs in the target, %", ylabel="dogs in the selection, %")
    saved.set(title=f"target {MIXTURE:.0%} dogs", xlabel="selected", ylabel="transport cost saved (λ .2)")
    legend(figure, over_budgets)
    return figure


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
    return pool, pl.DataFrame({"doc_id": doc_ids, "dog": dogs}), vectors


def _problem(pool: Pool, mixture: float, seed: int) -> SelectionProblem:
    from gotd_assets.selection.problem import SelectionProblem
    from gotd_assets.transport import make_sketch, solve

    random = np.random.default_rng((seed, 1, round(1000 * mixture)))
    target = _drawn(np.arange(TARGET) < round(TARGET * mixture), random)
    potentials = solve(pool.vectors, make_sketch(target, method="all"), epsilon=EPSILON, seed=seed)
    scores = pl.concat(
        pl.DataFrame(
            {"doc_id": shard.doc_ids, "source": shard.source, "score": potentials.scores(shard.vectors).numpy()}
        )
        for shard in pool
    )
    # The guard against near-duplicates goes by directions, which mean nothing for these points.
    return SelectionProblem(
        scores=scores,
        pool=pool,
        target=target,
        budget=BUDGET,
        seed=seed,
        settings=SelectionSettings(rounds=5, rounds_similarity=1.0),
        potentials=potentials,
    )


def _resampled(
    problem: SelectionProblem, vectors: npt.NDArray[np.float32], mixture: float, budget: int, seed: int
) -> pl.Series:
    """A draw without replacement by target density over pool density (Gumbel top-k, as DSIR draws)."""
    squared = ((vectors[:, None, :].astype(np.float64) - _centres()) ** 2).sum(axis=2)
    density = np.exp(-squared / 2)
    weight = density @ [1 - mixture, mixture] / (density @ [1 - RARE_SHARE, RARE_SHARE])
    noise = np.random.default_rng((seed, 2)).gumbel(size=len(vectors))
    with np.errstate(divide="ignore"):
        order = np.argsort(-(np.log(weight) + noise), kind="stable")
    return problem.pool.doc_ids().get_column("doc_id").gather(order[:budget])
