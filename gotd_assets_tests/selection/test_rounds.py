"""Frank–Wolfe rounds: diverse at extreme ratios, at no worse transport cost, and near the best set there is."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import ot
import polars as pl
import pytest

from gotd_assets.fingerprint import document_id
from gotd_assets.selection.analysis.worth import worth_of
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.pool.pool import Pool, vectors_of
from gotd_assets.selection.scoring import write_scores
from gotd_assets.settings.selection import SelectionSettings
from gotd_assets.transport import Potentials, Problem, make_sketch, solve
from gotd_assets_tests.selection.pools import make_pool, write_documents

LAMBDA = 0.2


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def problem_of(
    pool: Pool, target: np.ndarray, budget: int | str, folder: Path, epsilon: float, **settings
) -> tuple[SelectionProblem, Potentials]:
    potentials = solve(pool.vectors, make_sketch(target, method="all"), Problem(epsilon=epsilon))
    write_scores(pool, potentials, folder / "scores.parquet")
    problem = SelectionProblem(
        pl.read_parquet(folder / "scores.parquet"),
        pool,
        target,
        budget,
        seed=0,
        settings=SelectionSettings(mixing=LAMBDA, **settings),
        potentials=potentials,
    )
    return problem, potentials


def near_duplicate_share(pool: Pool, chosen: pl.Series) -> float:
    vectors = unit(vectors_of(chosen, pool).astype(np.float64))
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    return float((similarity.max(axis=1) > 0.95).mean())


def planted(folder: Path, seed: int, *, at_the_centre: bool, documents: int = 20_000) -> tuple[Pool, np.ndarray]:
    """A pool of so many documents, ten rare topics of 40, and in each topic two documents with 15 near-copies.

    The copied documents are the topic's best, or lie at its very centre, where transport wants more of the same.
    """
    rng = np.random.default_rng(seed)
    topics, size, copies, dim = 10, 40, 15, 32
    centres, common = unit(rng.standard_normal((topics, dim))), unit(rng.standard_normal((6, dim)))

    def around(points: np.ndarray, spread: float) -> np.ndarray:
        return unit(points + spread * rng.standard_normal(points.shape))

    rare = around(np.repeat(centres, size, 0), 0.12)
    background = around(common[rng.integers(0, 6, documents - topics * (size + 2 * copies))], 0.12)
    best = (rare.reshape(topics, size, dim) @ centres[:, :, None])[:, :, 0].argsort(axis=1)[:, -2:]
    found = np.take_along_axis(rare.reshape(topics, size, dim), best[:, :, None], 1).reshape(-1, dim)
    copied = around(np.repeat(centres, 2, 0), 0.05) if at_the_centre else found
    pool = np.concatenate([background, rare, around(np.repeat(copied, copies, 0), 0.005)])
    target = around(np.repeat(centres, 20, 0), 0.12).astype(np.float32)
    return make_pool(folder, {"all": ([f"d{i}" for i in range(len(pool))], pool)}), target


@pytest.mark.slow
@pytest.mark.parametrize("at_the_centre", [False, True], ids=["best documents copied", "centres copied"])
def test_twenty_of_twenty_thousand_stay_diverse_at_no_worse_transport_cost(tmp_path: Path, at_the_centre: bool) -> None:
    shares = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        pool, target = planted(folder, seed, at_the_centre=at_the_centre)
        problem, potentials = problem_of(pool, target, 20, folder, 0.05)
        assert problem.scores.height == 20_000
        one, many = select("gotd", problem)["doc_id"], select("gotd-rounds", problem)["doc_id"]
        shares.append([near_duplicate_share(pool, one), near_duplicate_share(pool, many)])
        worth = worth_of(one, pool, potentials, LAMBDA)
        assert worth_of(many, pool, potentials, LAMBDA).after < worth.after < worth.before
    one_step, rounds = np.mean(shares, axis=0)
    assert one_step > 0.3
    assert rounds <= one_step / 5


@pytest.mark.slow
def test_twenty_of_a_million_stay_diverse_at_no_worse_transport_cost(tmp_path: Path) -> None:
    pool, target = planted(tmp_path, 0, at_the_centre=False, documents=1_000_000)
    problem, potentials = problem_of(pool, target, 20, tmp_path, 0.05)
    assert problem.scores.height == 1_000_000
    one, many = select("gotd", problem)["doc_id"], select("gotd-rounds", problem)["doc_id"]
    one_step, rounds = near_duplicate_share(pool, one), near_duplicate_share(pool, many)
    assert one_step > 0.3
    assert rounds <= one_step / 5
    before, after = (worth_of(chosen, pool, potentials, LAMBDA).after for chosen in (one, many))
    assert after <= before


def test_rounds_without_the_similarity_limit_still_take_fewer_near_copies(tmp_path: Path) -> None:
    shares = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        pool, target = planted(folder, seed, at_the_centre=False, documents=10_000)
        problem, _ = problem_of(pool, target, 20, folder, 0.05, rounds=20, rounds_similarity=1)
        shares.append([near_duplicate_share(pool, select(name, problem)["doc_id"]) for name in ("gotd", "gotd-rounds")])
    one_step, rounds = np.mean(shares, axis=0)
    assert rounds < 0.75 * one_step


def exact_cost(pool: np.ndarray, chosen: list[int], target: np.ndarray) -> float:
    """The transport cost of the effective distribution, by linear programming."""
    weights = np.full(len(pool), (1 - LAMBDA) / len(pool))
    weights[chosen] += LAMBDA / len(chosen)
    cost = 0.5 * ((pool[:, None] - target[None]) ** 2).sum(-1)
    return float(ot.emd2(weights, np.full(len(target), 1 / len(target)), cost))


def test_rounds_come_nearer_than_one_step_to_the_best_of_all_sets(tmp_path: Path) -> None:
    rows = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((12, 3)).astype(np.float32)
        target = rng.standard_normal((6, 3)).astype(np.float32) * 1.5
        folder = tmp_path / str(seed)
        pool = make_pool(folder, {"s": ([f"d{i}" for i in range(12)], vectors)})
        problem, _ = problem_of(pool, target, 3, folder, 0.02, rounds=3, rounds_similarity=1)
        position = {document_id(f"d{i}"): i for i in range(12)}
        every = [exact_cost(vectors, list(some), target) for some in itertools.combinations(range(12), 3)]
        found = [
            exact_cost(vectors, [position[doc_id] for doc_id in select(name, problem)["doc_id"]], target)
            for name in ("gotd", "gotd-rounds")
        ]
        rows.append([(cost - min(every)) / (np.mean(every) - min(every)) for cost in found])
    one, many = np.array(rows).T
    assert many.mean() < one.mean()
    assert many.mean() < 0.2
    assert (many < 1).all()


def test_one_round_is_gotd_and_the_worth_is_that_of_a_linear_program(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    vectors, target = rng.standard_normal((60, 4)).astype(np.float32), rng.standard_normal((20, 4)).astype(np.float32)
    pool = make_pool(tmp_path, {"s": ([f"d{i}" for i in range(60)], vectors)})
    problem, potentials = problem_of(pool, target, 6, tmp_path, 0.002, rounds=1, rounds_similarity=1)
    chosen = select("gotd", problem)["doc_id"]
    assert select("gotd-rounds", problem)["doc_id"].to_list() == chosen.to_list()
    position = {document_id(f"d{i}"): i for i in range(60)}
    exact = exact_cost(vectors, [position[doc_id] for doc_id in chosen], target)
    assert worth_of(chosen, pool, potentials, LAMBDA).after == pytest.approx(exact, rel=0.02)


def test_nothing_but_near_copies_still_fills_the_budget(tmp_path: Path) -> None:
    vectors = np.ones((30, 4)) + 1e-4 * np.arange(30)[:, None] * np.eye(4)[0]
    pool = make_pool(tmp_path, {"s": ([f"d{i}" for i in range(30)], vectors)})
    problem, _ = problem_of(pool, np.eye(4, dtype=np.float32)[:2], 12, tmp_path, 0.05, rounds=4)
    chosen = select("gotd-rounds", problem)
    assert chosen["doc_id"].n_unique() == 12
    assert chosen["step"].to_list() == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3


def test_rounds_keep_to_a_budget_in_tokens(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["x" * int(size) for size in rng.permutation(np.arange(10, 210))]
    pool = make_pool(tmp_path, {"s": (texts, rng.standard_normal((200, 4)))})
    problem, _ = problem_of(
        pool, rng.standard_normal((9, 4)).astype(np.float32), "500 tokens", tmp_path, 0.05, rounds=5
    )
    problem = SelectionProblem(**{**vars(problem), "documents": {"s": write_documents(tmp_path / "text", "s", texts)}})
    length = {document_id(text): -(-len(text) // 4) for text in texts}
    total = sum(length[doc_id] for doc_id in select("gotd-rounds", problem)["doc_id"])
    assert 500 - max(length.values()) < total <= 500


@pytest.mark.parametrize(("mixing", "budget"), [(0.2, 40), (0.5, 20), (0.5, 40), (0.9, 40)])
def test_of_topics_that_lie_apart_rounds_fill_up_what_the_pool_lacks(
    tmp_path: Path, mixing: float, budget: int
) -> None:
    """A target half common and half rare: λ·s + (1 − λ)·p is the target's share, or all is rare where λ is too small."""
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((2, 16)))
    topics = np.repeat([0, 1], [340, 60])
    vectors = unit(centres[topics] + 0.1 * rng.standard_normal((400, 16)))
    target = unit(centres[np.repeat([0, 1], 30)] + 0.1 * rng.standard_normal((60, 16))).astype(np.float32)
    pool = make_pool(tmp_path, {"s": ([f"d{i}" for i in range(400)], vectors)})
    problem, _ = problem_of(pool, target, budget, tmp_path, 0.05, rounds_similarity=1.0)
    problem = dataclasses.replace(problem, settings=problem.settings.model_copy(update={"mixing": mixing}))
    rare = {document_id(f"d{row}") for row in np.flatnonzero(topics)}
    found = np.mean([doc_id in rare for doc_id in select("gotd-rounds", problem)["doc_id"]])
    expected = min(1.0, (0.5 - (1 - mixing) * 60 / 400) / mixing)
    assert found == pytest.approx(expected, abs=2.5 / budget)
    # One step along the gradient takes the rare half alone, whatever λ is (Figure 3 of the paper).
    assert np.mean([doc_id in rare for doc_id in select("gotd", problem)["doc_id"]]) == 1.0
