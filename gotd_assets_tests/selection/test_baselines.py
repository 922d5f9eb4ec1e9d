"""The baselines against computations of another kind: brute force, a linear program, the textbook's formula."""

import collections
import hashlib
import itertools
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from data_selection.hashed_ngram_dsir import get_ngram_counts
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.methods.resampling import HashedNgrams
from gotd_assets.selection.methods.tsds import assignment, kernel_density
from gotd_assets.selection.pool.pool import vectors_of
from gotd_assets.settings.selection import DsirSettings, SelectionSettings, TsdsSettings
from gotd_assets_tests.selection.pools import make_pool, write_documents

WORDS = ["film", "plot", "actor", "goal", "match", "team", "tax", "vote"]


def random_problem(folder: Path, budget: int | str = 10, **changes) -> SelectionProblem:
    """Three sources of 80, 30 and 10 documents; vectors in 4 dimensions."""
    rng = np.random.default_rng(3)
    sources = {}
    for name, size, words in (("big", 80, WORDS), ("middle", 30, WORDS[:4]), ("small", 10, WORDS[:3])):
        texts = [f"{name} {i} " + " ".join(rng.choice(words, size=int(rng.integers(3, 9)))) for i in range(size)]
        sources[name] = (texts, rng.standard_normal((size, 4)))
    pool = make_pool(folder, sources)
    scores = pool.doc_ids().with_columns(score=pl.Series(rng.standard_normal(pool.n_rows)))
    arguments = {
        "documents": {
            name: write_documents(folder / name / "text", name, texts) for name, (texts, _) in sources.items()
        },
        "target_texts": pl.Series(["film plot actor", "actor film, film!", "the plot of a film"]),
        "relevance": {"big": 0.9, "middle": 0.2, "small": 0.1},
        **changes,
    }
    return SelectionProblem(scores, pool, rng.standard_normal((7, 4)).astype(np.float32), budget, 0, **arguments)


def test_nearest_neighbours_are_those_of_brute_force(tmp_path: Path) -> None:
    problem = random_problem(tmp_path)
    vectors = vectors_of(problem.scores["doc_id"], problem.pool).astype(np.float64)
    distance = ((vectors[:, None] - problem.target[None].astype(np.float64)) ** 2).sum(-1).min(1)
    found = select("tapt-c", problem)
    assert found["doc_id"].to_list() == problem.scores["doc_id"].gather(distance.argsort()[:10]).to_list()
    np.testing.assert_allclose(found["score"], np.sort(distance)[:10], rtol=1e-4)


def test_all_domains_takes_as_many_from_each_until_one_runs_out(tmp_path: Path) -> None:
    def counts(budget: int) -> dict[str, int]:
        problem = random_problem(tmp_path / str(budget), budget)
        chosen = select("all-domains", problem).join(problem.scores.select("doc_id", "source"), on="doc_id")
        return dict(chosen.group_by("source").len().iter_rows())

    assert counts(24) == {"big": 8, "middle": 8, "small": 8}
    assert counts(50) == {"big": 20, "middle": 20, "small": 10}


def test_dapt_draws_from_the_nearest_source_and_goes_on_to_the_next(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, 25)
    chosen = select("dapt", problem).join(problem.scores.select("doc_id", "source"), on="doc_id", maintain_order="left")
    assert chosen["source"].to_list() == ["small"] * 10 + ["middle"] * 15
    assert chosen["reason"][0] == "source small, OT distance 0.1"
    with pytest.raises(InputError, match="OT distance of source 'big'"):
        select("dapt", random_problem(tmp_path / "unknown", relevance={}))


def textbook_dsir(texts: list[str], target: list[str], buckets: int) -> np.ndarray:
    """Log importance weights with hashed unigrams and bigrams (Xie et al. 2023, §3), from the definition."""

    def features(text: str) -> collections.Counter:
        words = re.findall(r"\w+|[^\w\s]+", text.lower())
        grams = words + [f"{first} {second}" for first, second in itertools.pairwise(words)]
        return collections.Counter(int(hashlib.sha256(gram.encode()).hexdigest(), 16) % buckets for gram in grams)

    def distribution(corpus: list[str]) -> np.ndarray:
        counts = sum((features(text) for text in corpus), collections.Counter())
        return np.array([counts[bucket] for bucket in range(buckets)]) / counts.total()

    ratio = np.log(distribution(target) + 1e-8) - np.log(distribution(texts) + 1e-8)
    return np.array([sum(count * ratio[bucket] for bucket, count in features(text).items()) for text in texts])


def test_dsir_weighs_as_the_textbook_does(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, 120, settings=SelectionSettings(dsir=DsirSettings(buckets=500, min_tokens=0)))
    texts = pl.concat([pl.read_parquet(folder / "documents-00000.parquet") for folder in problem.documents.values()])
    weights = textbook_dsir(texts["text"].to_list(), problem.target_texts.to_list(), 500)
    expected = dict(zip(texts["doc_id"], weights, strict=True))
    ranking = select("dsir", problem).sort("doc_id")
    noise = np.random.default_rng(0).gumbel(size=120)
    np.testing.assert_allclose(
        -ranking["score"].to_numpy() - noise, [expected[d] for d in ranking["doc_id"]], atol=1e-9
    )


@given(st.lists(st.text(alphabet="ab é’.,!?\nİß_1", max_size=30), max_size=6), st.sampled_from([2, 7, 10_000]))
def test_ngrams_are_those_of_the_authors_package(texts: list[str], buckets: int) -> None:
    expected = [get_ngram_counts(text, n=2, num_buckets=buckets) for text in texts]
    # Forgetting and hashing anew must not show.
    for features in (HashedNgrams(buckets), HashedNgrams(buckets, remembered=0)):
        series = pl.Series("text", texts, dtype=pl.String)
        assert features.total(series).tolist() == sum(expected, np.zeros(buckets, dtype=int)).tolist()
        ratios = np.random.default_rng(0).standard_normal(buckets)
        weights, words = features.weigh(series, ratios)
        assert weights == pytest.approx([ratios @ counts for counts in expected])
        assert words.tolist() == [(counts.sum() + 1) // 2 for counts in expected]


def test_dsir_draws_without_replacement_by_weight(tmp_path: Path) -> None:
    texts = ["film", "film plot", "goal", "goal match"]
    pool = make_pool(tmp_path, {"s": (texts, np.eye(4))})
    problem = SelectionProblem(
        pool.doc_ids().with_columns(score=0.0),
        pool,
        np.zeros((1, 4), dtype=np.float32),
        1,
        0,
        documents={"s": write_documents(tmp_path / "text", "s", texts)},
        target_texts=pl.Series(["film film plot goal", "film plot", "match film"]),
        settings=SelectionSettings(dsir=DsirSettings(buckets=10_000, min_tokens=0)),
    )
    weights = np.exp(textbook_dsir(texts, problem.target_texts.to_list(), 10_000))
    names = [document_id(text) for text in texts]
    first = collections.Counter()
    for seed in range(600):
        drawn = select("dsir", SelectionProblem(**{**vars(problem), "seed": seed}))
        first[drawn["doc_id"][0]] += 1
    share = np.array([first[name] for name in names]) / 600
    np.testing.assert_allclose(share, weights / weights.sum(), atol=0.08)


def test_dsir_takes_short_documents_last(tmp_path: Path) -> None:
    for name, limit in (("given", 8), ("median", None)):
        problem = random_problem(tmp_path / name, 120, settings=SelectionSettings(dsir=DsirSettings(min_tokens=limit)))
        texts = pl.concat(
            [pl.read_parquet(folder / "documents-00000.parquet") for folder in problem.documents.values()]
        ).with_columns(words=pl.col("text").str.split(" ").list.len())
        least = limit or int(texts["words"].median())
        chosen = select("dsir", problem).join(texts, on="doc_id", maintain_order="left")
        long = (texts["words"] >= least).sum()
        assert 0 < long < 120
        assert (chosen["words"][:long] >= least).all()
        assert (chosen["words"][long:] < least).all()
        assert chosen["reason"][119] == f"fewer than {least} words"


@given(seed=st.integers(0, 10_000), alpha=st.floats(0.1, 0.95), targets=st.integers(1, 4), neighbours=st.integers(2, 6))
def test_the_tsds_plan_is_the_optimum_of_its_linear_program(seed, alpha, targets, neighbours) -> None:
    rng = np.random.default_rng(seed)
    distances = np.sort(rng.random((targets, neighbours)) * 3, axis=1)
    density = 1 + 3 * rng.random((targets, neighbours))
    scale = 2.0

    plan = assignment(distances, density, alpha, scale)

    def objective(gamma: np.ndarray) -> float:
        return alpha / scale * (gamma * distances).sum() + (1 - alpha) * targets * (density * gamma).max()

    # Variables: the plan row by row, then t with ρ γ ≤ t.
    size = targets * neighbours
    cost = np.append(alpha / scale * distances.ravel(), (1 - alpha) * targets)
    caps = np.hstack([np.diag(density.ravel()), -np.ones((size, 1))])
    rows = np.hstack([np.kron(np.eye(targets), np.ones(neighbours)), np.zeros((targets, 1))])
    best = linprog(cost, A_ub=caps, b_ub=np.zeros(size), A_eq=rows, b_eq=np.full(targets, 1 / targets))
    assert best.status == 0
    np.testing.assert_allclose(plan.sum(axis=1), 1 / targets, rtol=1e-9)
    assert (plan >= 0).all()
    assert objective(plan) == pytest.approx(best.fun, rel=1e-7)


def test_the_kernel_density_counts_near_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([np.repeat(rng.standard_normal((1, 6)), 5, 0), 10 * rng.standard_normal((20, 6))])
    squared = ((vectors[:, None] - vectors[None]) ** 2).sum(-1)
    expected = np.maximum(0, 1 - squared / 0.5**2).sum(1)
    np.testing.assert_allclose(kernel_density(vectors, 0.5, 25), expected, rtol=1e-4)
    assert expected[0] == 5


def test_tsds_draws_where_the_plan_has_mass_and_then_by_distance(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, 120, settings=SelectionSettings(tsds=TsdsSettings(neighbours=6, alpha=0.9)))
    ranking = select("tsds", problem)
    vectors = vectors_of(ranking["doc_id"], problem.pool).astype(np.float64)
    squared = ((vectors[:, None] - problem.target[None].astype(np.float64)) ** 2).sum(-1)
    near = {int(row) for column in squared.T for row in column.argsort()[:6]}
    drawn = ranking.with_row_index("row").filter(pl.col("step") == 1)
    assert set(drawn["row"].to_list()) <= near
    rest = ranking.with_row_index("row").filter(pl.col("step") == 2)["row"].to_numpy()
    assert (np.diff(squared.min(1)[rest]) >= -1e-6).all()


def test_tsds_gives_near_duplicates_the_chance_of_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    near = 0.1 * rng.standard_normal((10, 8)) / 8**0.5 + np.eye(8)[0]
    copies = np.repeat(near[:1], 30, 0)
    far = rng.standard_normal((60, 8)) * 5
    names = [f"near {i}" for i in range(10)] + [f"copy {i}" for i in range(30)] + [f"far {i}" for i in range(60)]
    pool = make_pool(tmp_path, {"s": (names, np.concatenate([near, copies, far]))})
    copy_ids = {document_id(name) for name in names[10:40]} | {document_id("near 0")}

    def share(sigma: float) -> float:
        chosen = [
            select(
                "tsds",
                SelectionProblem(
                    pool.doc_ids().with_columns(score=0.0),
                    pool,
                    np.eye(8, dtype=np.float32)[:1],
                    8,
                    seed,
                    settings=SelectionSettings(tsds=TsdsSettings(sigma=sigma, alpha=0.1, neighbours=60)),
                ),
            )
            for seed in range(20)
        ]
        return float(np.mean([len(set(frame["doc_id"]) & copy_ids) / 8 for frame in chosen]))

    assert share(0.0) > 0.5
    assert share(0.05) < 0.2
