"""Explanations against what brute force says."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.errors import InputError
from gotd_assets.selection.analysis.explain import explain, find_document
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.scoring import write_scores
from gotd_assets.transport import Problem, make_sketch, solve
from gotd_assets_tests.selection.pools import make_pool, write_documents

TEXTS = [f"text number {i}" for i in range(80)]


@pytest.fixture
def case(tmp_path: Path):
    rng = np.random.default_rng(2)
    vectors, target_vectors = rng.standard_normal((80, 5)), rng.standard_normal((12, 5)).astype(np.float32)
    pool = make_pool(tmp_path, {"s": (TEXTS, vectors)})
    potentials = solve(pool.vectors, make_sketch(target_vectors, method="all"), Problem(epsilon=0.2, tolerance=1e-4))
    write_scores(pool, potentials, tmp_path / "scores.parquet")
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    ranking = select("gotd", SelectionProblem(scores, pool, target_vectors, 10, 0))
    documents = {"s": write_documents(tmp_path / "text", "s", TEXTS)}
    texts = pl.read_parquet(tmp_path / "text" / "documents-00000.parquet").select("doc_id", "text", "source")
    subset = ranking.join(texts, on="doc_id", maintain_order="left")
    target = pl.DataFrame({"doc_id": [f"t{i}" for i in range(12)], "text": [f"target {i}" for i in range(12)]})

    def explained(doc_id: str, sign: int = 1):
        return explain(
            find_document(doc_id, documents),
            scores=scores,
            subset=subset,
            potentials=potentials,
            embeddings={"s": tmp_path / "s" / "vectors"},
            target=target,
            target_vectors=target_vectors,
            sign=sign,
        )

    return explained, scores, subset, vectors, target_vectors, potentials, documents


def test_place_percentile_and_what_would_have_to_change(case) -> None:
    explained, scores, *_ = case
    ordered = scores.sort("score", "doc_id")
    for place in (1, 10, 11, 40, 80):
        doc_id, score = ordered["doc_id"][place - 1], ordered["score"][place - 1]
        found = explained(doc_id)
        assert (found.position, found.selectable, found.score) == (place, 80, score)
        assert found.percentile == pytest.approx(100 * (80 - place) / 79)
        assert found.rank == (place if place <= 10 else None)
        assert found.cut_gradient == ordered["score"][9]
        sentence = found.what_would_have_to_change()
        if place <= 10:
            assert sentence is None
        else:
            assert f"a budget of {place} documents instead of 10" in sentence
            assert f"lower by {score - ordered['score'][9]:.6g}" in sentence
            assert ("would not bring the pool nearer" in sentence) == (score >= 0)
    away = explained(ordered["doc_id"][79], sign=-1)
    assert (away.position, away.score) == (1, -ordered["score"][79])


def test_the_pulls_are_the_row_of_the_plan(case) -> None:
    explained, scores, _, vectors, target_vectors, potentials, _ = case
    for row in (0, 33):
        doc_id = scores["doc_id"][row]
        cost = 0.5 * ((vectors[row].astype(np.float32) - target_vectors) ** 2).sum(1)
        exponent = (potentials.g.numpy() - cost) / potentials.problem.epsilon + np.log(1 / 12)
        share = np.exp(exponent - exponent.max())
        share /= share.sum()
        order = np.argsort(-share)[:5]
        pulls = explained(doc_id).pulls
        assert [pull.text for pull in pulls] == [f"target {i}" for i in order]
        np.testing.assert_allclose([pull.share for pull in pulls], share[order], rtol=1e-3)
        assert all(pull.weight == pytest.approx(1 / 12) for pull in pulls)


def test_neighbours_are_the_nearest_selected_others(case) -> None:
    explained, scores, subset, vectors, target_vectors, *_ = case
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    row_of = {doc_id: row for row, doc_id in enumerate(scores["doc_id"])}
    for doc_id in (subset["doc_id"][0], scores.sort("score")["doc_id"][50]):
        others = [other for other in subset["doc_id"] if other != doc_id]
        similar = {other: float(unit[row_of[doc_id]] @ unit[row_of[other]]) for other in others}
        expected = sorted(similar, key=lambda other: -similar[other])[:3]
        found = explained(doc_id)
        assert [neighbour.doc_id for neighbour in found.neighbours] == expected
        assert found.neighbours[0].similarity == pytest.approx(similar[expected[0]], abs=1e-5)
        goal = target_vectors @ unit[row_of[doc_id]] / np.linalg.norm(target_vectors, axis=1)
        assert found.nearest_target == (f"target {goal.argmax()}", pytest.approx(goal.max(), abs=1e-5))


def test_an_id_that_fits_none_or_is_none_says_so(case) -> None:
    documents = case[-1]
    with pytest.raises(InputError, match="no source holds"):
        find_document("0" * 32, documents)
    for wrong in ("abc", "not hexadecimal at all"):
        with pytest.raises(InputError, match="no document id"):
            find_document(wrong, documents)
