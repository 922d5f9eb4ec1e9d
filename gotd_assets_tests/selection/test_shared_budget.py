"""Targets in turns, and the toxicity baseline, against the plainest programs that do the same."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from gotd_assets.errors import InputError
from gotd_assets.selection.methods import select
from gotd_assets_tests.selection.test_baselines import random_problem


def shared_problem(folder, budget=30):
    problem = random_problem(folder, budget)
    rng = np.random.default_rng(8)
    # Few distinct scores, so that ties must break.
    shared = {
        name: problem.scores.select("doc_id").with_columns(
            score=pl.Series(rng.integers(0, 9, problem.scores.height) / 9 - 0.5)
        )
        for name in ("film", "news", "law")
    }
    return dataclasses.replace(problem, shared=shared)


def test_targets_take_turns_and_never_the_same_document(tmp_path):
    problem = shared_problem(tmp_path)
    left = {name: sorted(scores.select("score", "doc_id").iter_rows()) for name, scores in problem.shared.items()}
    expected = []
    while len(expected) < 30:
        for name, ranked in left.items():
            best = next(doc_id for _, doc_id in ranked if doc_id not in {taken for taken, _ in expected})
            expected.append((best, name))
    found = select("gotd-round-robin", problem)
    assert found["doc_id"].to_list() == [doc_id for doc_id, _ in expected]
    assert [reason.split(",")[0] for reason in found["reason"]] == [f"turn of {name}" for _, name in expected]


def test_the_whole_pool_can_be_shared_out(tmp_path):
    problem = shared_problem(tmp_path, 120)
    assert set(select("gotd-round-robin", problem)["doc_id"]) == set(problem.scores["doc_id"])


def test_one_target_alone_is_gotd(tmp_path):
    problem = random_problem(tmp_path)
    alone = dataclasses.replace(problem, shared={"film": problem.scores.select("doc_id", "score")})
    assert select("gotd-round-robin", alone)["doc_id"].equals(select("gotd", problem)["doc_id"])


def test_a_target_that_was_not_scored_on_a_candidate_is_told(tmp_path):
    problem = shared_problem(tmp_path)
    lacking = dict(problem.shared) | {"law": problem.shared["law"].head(100)}
    with pytest.raises(InputError, match="20 candidates have no score against 'law'"):
        select("gotd-round-robin", dataclasses.replace(problem, shared=lacking))


def test_rtp_takes_the_least_toxic_that_may_be_selected(tmp_path):
    problem = random_problem(tmp_path, 12)

    def toxicity(documents):
        return documents["text"].str.len_chars().to_numpy() / 100

    texts = pl.concat(problem.documents_of_candidates(["text"]))
    allowed = problem.scores.sort("doc_id").head(90)
    found = select("rtp", dataclasses.replace(problem, scores=allowed, toxicity=toxicity))
    lengths = (
        texts.join(allowed, on="doc_id", how="semi")
        .select(pl.col("text").str.len_chars(), "doc_id")
        .sort("text", "doc_id")
    )
    assert found["doc_id"].to_list() == lengths["doc_id"].head(12).to_list()
    assert found["reason"][0] == f"toxicity {lengths['text'][0] / 100:g}"
    with pytest.raises(InputError, match=r"set toxicity\.model"):
        select("rtp", problem)
