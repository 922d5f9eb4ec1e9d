"""What a selection is worth before training: figures against their definitions."""

import dataclasses
from pathlib import Path

import numpy as np
import ot
import polars as pl
import pytest

from gotd_assets.fingerprint import document_id
from gotd_assets.selection.analysis.diversity import diversity_of
from gotd_assets.selection.analysis.stability import bootstrap_overlaps, sketch_overlap
from gotd_assets.selection.analysis.summary import figures_of
from gotd_assets.selection.analysis.worth import budget_curve, worth_of, worth_over
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.scoring import write_scores
from gotd_assets.settings.transport import SketchSettings
from gotd_assets.transport import Problem, make_sketch, solve
from gotd_assets_tests.selection.pools import make_pool


def solved_problem(folder: Path, budget: int = 8, seed: int = 0, spread: float = 1.0):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((150, 5)).astype(np.float32)
    target = (rng.standard_normal((40, 5)) * spread + 0.8).astype(np.float32)
    pool = make_pool(folder, {"s": ([f"d{i}" for i in range(150)], vectors)})
    potentials = solve(pool.vectors, make_sketch(target, method="all"), Problem(epsilon=0.01, tolerance=1e-3))
    write_scores(pool, potentials, folder / "scores.parquet")
    problem = SelectionProblem(
        pl.read_parquet(folder / "scores.parquet"), pool, target, budget, seed=0, potentials=potentials
    )
    return problem, vectors, target


def test_the_worth_for_each_mixing_is_that_of_a_linear_program(tmp_path: Path) -> None:
    problem, vectors, target = solved_problem(tmp_path)
    chosen = select("gotd", problem)["doc_id"]
    rows = [row for row in range(150) if document_id(f"d{row}") in set(chosen)]
    mixings = [0.5, 0.05, 0.2]
    found = worth_over(chosen, problem.pool, problem.potentials, mixings)
    assert [worth.mixing for worth in found] == mixings
    cost = 0.5 * ((vectors[:, None] - target[None]) ** 2).sum(-1)
    for worth in found:
        weights = np.full(150, (1 - worth.mixing) / 150)
        weights[rows] += worth.mixing / len(rows)
        assert worth.after == pytest.approx(ot.emd2(weights, np.full(40, 1 / 40), cost), rel=0.05)
        assert worth_of(chosen, problem.pool, problem.potentials, worth.mixing).after == pytest.approx(
            worth.after, 1e-3
        )


def test_for_a_small_mixing_the_budget_curve_predicts_the_worth(tmp_path: Path) -> None:
    problem, *_ = solved_problem(tmp_path, 20)
    chosen = select("gotd", problem)
    curve = budget_curve(chosen["score"].to_numpy())
    assert curve[0][0] == 1
    assert curve[-1] == (20, pytest.approx(chosen["score"].sum()))
    mixing = 0.005
    worth = worth_of(chosen["doc_id"], problem.pool, problem.potentials, mixing)
    assert worth.after - worth.before == pytest.approx(mixing * curve[-1][1] / 20, rel=0.15)


def test_the_curve_turns_where_the_score_crosses_zero() -> None:
    scores = np.sort(np.random.default_rng(0).standard_normal(1000))
    curve = dict(budget_curve(scores, points=1000))
    assert abs(min(curve, key=curve.get) - (scores < 0).sum()) <= 5
    assert budget_curve(np.empty(0)) == []


def test_diversity_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 6))
    vectors[1] = vectors[0] + 1e-3
    vectors[2] = 2 * vectors[0]
    points, weights = rng.standard_normal((9, 6)), np.full(9, 1 / 9)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -1)
    nearest = similarity.max(axis=1)
    cluster = ((vectors[:, None] - points[None]) ** 2).sum(-1).argmin(1)
    share = np.bincount(cluster, minlength=9) / 60
    found = diversity_of(vectors, points, weights)
    assert found.mean_nearest_distance == pytest.approx((1 - nearest).mean(), abs=1e-5)
    assert found.near_duplicate_share == pytest.approx((nearest > 0.95).mean())
    assert found.near_duplicate_share >= 3 / 60
    assert found.target_clusters_covered == (share > 0).sum()
    used = share[share > 0]
    assert found.effective_target_clusters == pytest.approx(np.exp(-(used * np.log(used)).sum()))
    assert [s for *_, s in found.cluster_shares] == pytest.approx(sorted(used, reverse=True))


def test_copies_and_a_single_document(tmp_path: Path) -> None:
    copies = diversity_of(np.ones((5, 3)), np.eye(3), np.full(3, 1 / 3))
    assert copies.near_duplicate_share == 1
    assert copies.mean_nearest_distance == pytest.approx(0, abs=1e-6)
    assert copies.effective_target_clusters == pytest.approx(1)
    one = diversity_of(np.ones((1, 3)), np.eye(3), np.full(3, 1 / 3))
    assert (one.mean_nearest_distance, one.near_duplicate_share) == (None, 0.0)


def test_a_narrow_target_gives_a_stable_selection_and_a_wide_one_a_less_stable(tmp_path: Path) -> None:
    def overlap(spread: float) -> float:
        problem, *_ = solved_problem(tmp_path / str(spread), 15, spread=spread)
        chosen = select("gotd", problem)["doc_id"]
        arguments = (problem, chosen, SketchSettings(method="all"), 4)
        first = bootstrap_overlaps("gotd", *arguments)
        assert first == bootstrap_overlaps("gotd", *arguments)
        return float(np.mean(first))

    narrow, wide = overlap(0.01), overlap(3.0)
    assert 0 < wide < narrow
    assert narrow > 0.9


def test_the_figures_of_a_selection(tmp_path: Path) -> None:
    problem, vectors, _ = solved_problem(tmp_path)
    ranking = select("gotd", problem).join(
        problem.scores.select("doc_id", "source"), on="doc_id", maintain_order="left"
    )
    subset = ranking.with_columns(text=pl.lit("four"))
    figures = figures_of(subset, vectors[:8], problem)
    assert figures["selectable_helping"] == (problem.scores["score"] < 0).sum()
    assert figures["selected_helping"] == 8
    assert figures["cut_score"] == ranking["score"].max()
    assert figures["mean_gradient"] == pytest.approx(ranking["score"].mean())
    assert figures["characters"] == 32
    assert figures["per_source"] == {"s": 8}
    away = figures_of(subset, vectors[:8], dataclasses.replace(problem, direction="away"))
    assert away["selectable_helping"] == 150 - figures["selectable_helping"]
    assert away["selected_helping"] == 0


def test_what_a_sketch_costs_is_counted_against_a_solve_with_all_points(tmp_path: Path) -> None:
    whole, vectors, target = solved_problem(tmp_path / "whole", 20)
    assert sketch_overlap("gotd", whole, select("gotd", whole)["doc_id"]) is None
    sketch = make_sketch(target, method="random", size=4)
    potentials = solve(whole.pool.vectors, sketch, Problem(epsilon=0.01, tolerance=1e-3))
    write_scores(whole.pool, potentials, tmp_path / "scores.parquet")
    problem = dataclasses.replace(whole, scores=pl.read_parquet(tmp_path / "scores.parquet"), potentials=potentials)
    chosen = select("gotd", problem)["doc_id"]
    cost = 0.5 * ((vectors[:, None] - target[None]) ** 2).sum(-1).astype(np.float64)
    _, log = ot.sinkhorn(
        np.full(150, 1 / 150), np.full(40, 1 / 40), cost, 0.01, "sinkhorn_log", log=True, numItermax=9999
    )
    best = {document_id(f"d{row}") for row in np.argsort(log["log_u"])[:20]}
    found = sketch_overlap("gotd", problem, chosen)
    assert 0 < found < 1
    assert found == pytest.approx(len(best & set(chosen)) / 20, abs=0.051)
