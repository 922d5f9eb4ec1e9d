"""The methods that derive from the gradient, against potentials computed another way."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import logsumexp

from gotd_assets.errors import InputError
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.scoring import write_scores
from gotd_assets.settings.selection import SelectionSettings
from gotd_assets.transport import Problem, make_sketch, solve
from gotd_assets_tests.selection.pools import make_pool

EPSILON = 0.3


def sinkhorn_potential(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """f of entropic transport between uniform measures on x and y, by plain Sinkhorn in float64."""
    cost = 0.5 * ((x[:, None] - y[None]) ** 2).sum(-1)
    g = np.zeros(len(y))
    for _ in range(3000):
        f = -EPSILON * logsumexp((g[None] - cost) / EPSILON - np.log(len(y)), axis=1)
        g = -EPSILON * logsumexp((f[:, None] - cost) / EPSILON - np.log(len(x)), axis=0)
    return -EPSILON * logsumexp((g[None] - cost) / EPSILON - np.log(len(y)), axis=1)


def symmetric_potential(x: np.ndarray) -> np.ndarray:
    """The self-potential of the law of which x is a sample: no point is its own partner."""
    cost = 0.5 * ((x[:, None] - x[None]) ** 2).sum(-1)
    np.fill_diagonal(cost, np.inf)
    f = np.zeros(len(x))
    for _ in range(3000):
        f = 0.5 * (f - EPSILON * logsumexp((f[None] - cost) / EPSILON - np.log(len(x) - 1), axis=1))
    return f


@pytest.fixture
def case(tmp_path: Path):
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((70, 3)).astype(np.float32)
    target = (rng.standard_normal((15, 3)) * 0.5 + 1).astype(np.float32)
    pool = make_pool(tmp_path, {"s": ([f"d{i}" for i in range(70)], vectors)})
    potentials = solve(pool.vectors, make_sketch(target, method="all"), Problem(epsilon=EPSILON, tolerance=1e-5))
    write_scores(pool, potentials, tmp_path / "scores.parquet")
    problem = SelectionProblem(
        pl.read_parquet(tmp_path / "scores.parquet"), pool, target, 70, seed=0, potentials=potentials
    )
    return problem, vectors.astype(np.float64), target.astype(np.float64)


def in_pool_order(problem: SelectionProblem, name: str) -> np.ndarray:
    order = problem.scores.select("doc_id")
    return order.join(select(name, problem), on="doc_id", maintain_order="left")["score"].to_numpy()


def test_gotd_scores_by_the_centred_potential(case) -> None:
    problem, vectors, target = case
    f = sinkhorn_potential(vectors, target)
    np.testing.assert_allclose(in_pool_order(problem, "gotd"), f - f.mean(), atol=1e-3)


def test_debiased_scores_by_the_gradient_of_the_sinkhorn_divergence(case) -> None:
    problem, vectors, target = case
    gradient = sinkhorn_potential(vectors, target) - symmetric_potential(vectors)
    np.testing.assert_allclose(in_pool_order(problem, "gotd-debiased"), gradient - gradient.mean(), atol=2e-3)


def test_toward_and_away_is_the_difference_of_calibrated_scores(case) -> None:
    problem, *_ = case
    away = problem.scores.select("doc_id", score=pl.Series(np.random.default_rng(0).standard_normal(70)))
    both = dataclasses.replace(problem, away_scores=away, settings=SelectionSettings(away_weight=0.5))
    expected = problem.scores["score"].to_numpy() - 0.5 * away["score"].to_numpy()
    np.testing.assert_allclose(in_pool_order(both, "gotd-toward-and-away"), expected)
    assert select("gotd-toward-and-away", both)["reason"][0].startswith("toward ")
    assert select("gotd-toward-and-away", problem)["doc_id"].equals(select("gotd-away", problem)["doc_id"])
    with pytest.raises(InputError, match="10 candidates have no score against"):
        select("gotd-toward-and-away", dataclasses.replace(both, away_scores=away.head(60)))
