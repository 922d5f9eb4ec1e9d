"""What methods select, on vectors small enough to reason about: Figure 3 of the paper among them."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.analysis.worth import worth_of
from gotd_assets.selection.methods import METHODS, SelectionProblem, select
from gotd_assets.selection.pool.pool import Pool, vectors_of
from gotd_assets.selection.scoring import write_scores
from gotd_assets.settings.selection import METHOD_NAMES, SelectionSettings
from gotd_assets.transport import Problem, make_sketch, solve
from gotd_assets_tests.selection.pools import no_duplicates, write_documents, write_vectors


@pytest.fixture
def cats_and_dogs(tmp_path: Path) -> tuple[Pool, np.ndarray, set[str]]:
    """99% cats and 1% dogs in the pool, as many of each in the target."""
    rng = np.random.default_rng(0)
    cat, dog = np.zeros(8), np.eye(8)[0] * 4

    def around(centre: np.ndarray, n: int) -> np.ndarray:
        return centre + 0.3 * rng.standard_normal((n, 8))

    names = [f"cat {i}" for i in range(4950)] + [f"dog {i}" for i in range(50)]
    pool = np.concatenate([around(cat, 4950), around(dog, 50)])
    folder = write_vectors(tmp_path / "pool", names, pool)
    target = np.concatenate([around(cat, 100), around(dog, 100)]).astype(np.float32)
    return Pool.open({"pets": folder}, no_duplicates(tmp_path)), target, {document_id(name) for name in names[4950:]}


def problem_of(pool: Pool, target: np.ndarray, budget: int | str, tmp_path: Path) -> SelectionProblem:
    potentials = solve(pool.vectors, make_sketch(target, method="all"), Problem(epsilon=0.05, tolerance=1e-3))
    assert potentials.certificate.converged
    write_scores(pool, potentials, tmp_path / "scores.parquet")
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    names = [f"cat {i}" for i in range(4950)] + [f"dog {i}" for i in range(50)]
    return SelectionProblem(
        scores,
        pool,
        target,
        budget,
        seed=0,
        settings=SelectionSettings(rounds=3),
        documents={"pets": write_documents(tmp_path / "documents", "pets", names)},
        target_texts=pl.Series([f"cat {i}" for i in range(100)] + [f"dog {i}" for i in range(100)]),
        potentials=potentials,
        relevance={"pets": 1.0},
        away_scores=scores.with_columns(score=pl.col("score") * 0.5),
        shared={"pets": scores.select("doc_id", "score"), "strays": scores.select("doc_id", -pl.col("score"))},
        toxicity=lambda documents: documents["text"].str.len_chars().to_numpy() / 100,
        states=by_hash,
        loss_drops=lambda documents: by_hash(documents)[:, 0],
        gradients=by_hash,
    )


def by_hash(documents: pl.DataFrame) -> np.ndarray:
    """Vectors (n, 8) of length one that stand for what a model says."""
    numbers = np.array([[int(doc_id[at : at + 4], 16) for at in range(0, 32, 4)] for doc_id in documents["doc_id"]])
    return numbers / np.linalg.norm(numbers, axis=1, keepdims=True)


def test_figure_3_of_the_paper(cats_and_dogs, tmp_path: Path) -> None:
    pool, target, dogs = cats_and_dogs
    problem = problem_of(pool, target, 40, tmp_path)
    share = {
        name: sum(doc_id in dogs for doc_id in select(name, problem)["doc_id"]) / 40 for name in ("gotd", "tapt-c")
    }
    assert share["gotd"] == 1.0
    assert share["tapt-c"] < 0.8


def test_gotd_lowers_the_transport_cost_more_than_random(cats_and_dogs, tmp_path: Path) -> None:
    pool, target, _ = cats_and_dogs
    potentials = solve(pool.vectors, make_sketch(target, method="all"), Problem(epsilon=0.05, tolerance=1e-3))
    problem = problem_of(pool, target, 40, tmp_path)
    worth = {n: worth_of(select(n, problem)["doc_id"], pool, potentials, 0.2) for n in ("gotd", "random")}
    assert worth["gotd"].after < worth["random"].after
    assert worth["gotd"].after < 0.9 * worth["gotd"].before


def test_away_from_a_target_is_the_other_end(cats_and_dogs, tmp_path: Path) -> None:
    pool, target, dogs = cats_and_dogs
    chosen = select("gotd-away", problem_of(pool, target, 40, tmp_path))
    assert not set(chosen["doc_id"]) & dogs


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_ranks_the_budget_once_and_the_same_way_twice(name: str, cats_and_dogs, tmp_path: Path) -> None:
    pool, target, _ = cats_and_dogs
    problem = problem_of(pool, target, 25, tmp_path)
    first, second = select(name, problem), select(name, problem)
    assert first.equals(second)
    assert first["rank"].to_list() == list(range(1, 26))
    assert first["doc_id"].n_unique() == 25
    steps = first.partition_by("step", maintain_order=True) if "step" in first.columns else [first]
    assert all(step["score"].is_sorted() for step in steps)
    if "step" in first.columns:
        assert first["step"].is_sorted()


def test_ties_break_by_doc_id_and_seeds_differ() -> None:
    scores = pl.DataFrame({"doc_id": ["c", "a", "b"], "source": "s", "score": [1.0, 1.0, 1.0]})
    pool = Pool([])
    problem = SelectionProblem(scores, pool, np.zeros((1, 2)), 2, seed=0)
    assert select("gotd", problem)["doc_id"].to_list() == ["a", "b"]
    many = pl.DataFrame({"doc_id": [f"{i:03}" for i in range(200)], "source": "s", "score": 0.0})
    drawn = [select("random", SelectionProblem(many, pool, np.zeros((1, 2)), 20, seed=s))["doc_id"] for s in (0, 1)]
    assert set(drawn[0]) != set(drawn[1])


def test_an_impossible_budget_and_an_unknown_method_say_so() -> None:
    scores = pl.DataFrame({"doc_id": ["a"], "source": ["s"], "score": [0.0]})
    problem = SelectionProblem(scores, Pool([]), np.zeros((1, 2)), 5, seed=0)
    with pytest.raises(InputError, match="budget is 5, but only 1 candidates"):
        select("gotd", problem)
    with pytest.raises(InputError, match="no method 'best'; known are: gotd"):
        select("best", problem)
    assert tuple(METHODS) == METHOD_NAMES


def test_duplicates_are_not_in_the_pool(tmp_path: Path) -> None:
    vectors = np.arange(8.0).reshape(4, 2)
    one = write_vectors(tmp_path / "one", ["a", "b"], vectors[:2])
    two = write_vectors(tmp_path / "two", ["b", "c"], vectors[2:])
    duplicates = tmp_path / "duplicates.parquet"
    pl.DataFrame({"doc_id": [document_id("b")], "source": ["two"]}).write_parquet(duplicates)
    pool = Pool.open({"one": one, "two": two}, duplicates)
    assert pool.n_rows == 3
    assert pool.doc_ids().rows() == [(document_id("a"), "one"), (document_id("b"), "one"), (document_id("c"), "two")]
    wanted = pl.Series([document_id("c"), document_id("a")])
    np.testing.assert_array_equal(vectors_of(wanted, pool), vectors[[3, 0]])
    with pytest.raises(KeyError):
        vectors_of(pl.Series([document_id("d")]), pool)


def test_a_target_to_stay_away_from_turns_every_informed_method_round(cats_and_dogs, tmp_path: Path) -> None:
    pool, target, dogs = cats_and_dogs
    problem = dataclasses.replace(problem_of(pool, target[100:], 40, tmp_path), target_texts=pl.Series(["dog"]))
    away = dataclasses.replace(problem, direction="away")
    for name in ("gotd", "gotd-debiased", "gotd-rounds", "tapt-c", "dsir"):
        assert len(set(select(name, problem)["doc_id"]) & dogs) >= 30, name
        assert not set(select(name, away)["doc_id"]) & dogs, name
    assert select("gotd", away)["doc_id"].to_list() == select("gotd-away", problem)["doc_id"].to_list()
    assert select("random", away).equals(select("random", problem))
