"""`betr` and `gotd-distilled` against dense computations with a vocabulary instead of hashes."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from gotd_assets.errors import InputError
from gotd_assets.selection.methods import select
from gotd_assets.selection.pool.pool import vectors_of
from gotd_assets.settings.selection import LearnedSettings, SelectionSettings
from gotd_assets_tests.selection.test_baselines import random_problem

WHOLE = SelectionSettings(learned=LearnedSettings(sample=120, positive=0.25))


@pytest.fixture(autouse=True)
def _no_two_words_in_one_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotd_assets.selection.methods.learned_from_words._BUCKETS", 1 << 20)


def texts_of(problem) -> pl.DataFrame:
    folders = problem.documents.values()
    return pl.concat([pl.read_parquet(folder / "documents-00000.parquet") for folder in folders]).sort("doc_id")


def dense_words(texts: list[str]) -> np.ndarray:
    counts = CountVectorizer(ngram_range=(1, 2)).fit_transform(texts)
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts).toarray()


def test_betr_tells_the_nearest_of_the_sample_from_the_rest(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, budget=120, settings=WHOLE)
    texts = texts_of(problem)
    vectors = vectors_of(texts["doc_id"], problem.pool).astype(np.float64)
    distances = np.linalg.norm(vectors[:, None] - problem.target[None].astype(np.float64), axis=-1)
    best = np.stack([rankdata(column, method="ordinal") for column in distances.T]).min(axis=0)
    positive = np.lexsort((distances.min(axis=1), best))[:30]
    labels = np.isin(np.arange(120), positive)
    words = dense_words(texts["text"].to_list())
    expected = LogisticRegression(class_weight="balanced", max_iter=5000, tol=1e-8).fit(words, labels)
    found = select("betr", problem).sort("doc_id")
    np.testing.assert_allclose(-found["score"], expected.decision_function(words), atol=2e-3)
    assert found["reason"][0].endswith("on a fifth of 120 documents kept apart")


def test_distilled_scores_are_the_ridge_regression_of_gotds(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, budget=120, settings=WHOLE)
    texts = texts_of(problem).join(problem.scores.select("doc_id", "score"), on="doc_id", maintain_order="left")
    words, wanted = dense_words(texts["text"].to_list()), -texts["score"].to_numpy()
    centred = words - words.mean(axis=0)
    kernel = centred @ centred.T
    expected = wanted.mean() + kernel @ np.linalg.solve(kernel + np.eye(120), wanted - wanted.mean())
    found = select("gotd-distilled", problem).sort("doc_id")
    np.testing.assert_allclose(-found["score"], expected, atol=1e-4)


def test_a_sample_predicts_the_scores_of_the_rest_where_words_tell_them(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, budget=30, settings=SelectionSettings(learned=LearnedSettings(sample=60)))
    texts = texts_of(problem)
    films = texts["text"].str.count_matches("film|plot|actor") / texts["text"].str.count_matches(" ")
    scores = texts.select("doc_id", score=-films.cast(pl.Float64))
    problem = dataclasses.replace(problem, scores=problem.scores.drop("score").join(scores, on="doc_id"))
    ranked = select("gotd-distilled", dataclasses.replace(problem, budget=120)).join(
        scores.rename({"score": "own"}), on="doc_id"
    )
    assert spearmanr(ranked["score"], ranked["own"]).statistic > 0.7
    away = select("gotd-distilled", dataclasses.replace(problem, direction="away", budget=120)).join(
        scores.rename({"score": "own"}), on="doc_id"
    )
    assert spearmanr(away["score"], away["own"]).statistic < -0.7


def test_too_small_a_pool_is_a_sentence(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, budget=2)
    few = dataclasses.replace(problem, scores=problem.scores.head(10))
    for method in ("betr", "gotd-distilled"):
        with pytest.raises(InputError, match="10 are too few"):
            select(method, few)
