"""Budgets: documents, shares, tokens, and until nothing helps."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.errors import InputError
from gotd_assets.selection.methods import select
from gotd_assets.settings.selection import Budget, canonical_budget
from gotd_assets_tests.selection.test_baselines import random_problem


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        (1000, "documents", 1000),
        ("1000", "documents", 1000),
        ("150k", "documents", 150_000),
        ("2%", "share", 0.02),
        (" 0.5 % ", "share", 0.005),
        ("50k tokens", "tokens", 50_000),
        ("1.5M tokens", "tokens", 1_500_000),
        ("20_000 tokens", "tokens", 20_000),
        ("until-zero", "until-zero", 0),
    ],
)
def test_what_a_budget_says(text: int | str, kind: str, amount: float) -> None:
    assert Budget.parse(text) == Budget(kind, amount)


@pytest.mark.parametrize(
    "text", [0, -3, "", "many", "0%", "101%", "2k%", "0 tokens", "1.5", "0.5 tokens", "5 words", "٣"]
)
def test_what_is_no_budget_says_so(text: int | str) -> None:
    with pytest.raises(ValueError, match="is no budget"):
        Budget.parse(text)


@given(st.integers(1, 10**9))
def test_a_number_and_its_digits_are_the_same_budget(number: int) -> None:
    assert canonical_budget(number) == canonical_budget(str(number)) == number


def test_a_share_is_of_the_candidates(tmp_path: Path) -> None:
    assert select("random", random_problem(tmp_path, "5%")).height == 6
    assert select("random", random_problem(tmp_path / "b", "0.01%")).height == 1


def test_tokens_are_characters_by_four_rounded_up_and_are_not_exceeded(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, "200 tokens")
    texts = pl.concat([pl.read_parquet(folder / "documents-00000.parquet") for folder in problem.documents.values()])
    everything = select("gotd", dataclasses.replace(problem, budget=120)).join(
        texts, on="doc_id", maintain_order="left"
    )
    lengths = [-(-len(text) // 4) for text in everything["text"]]
    expected = max(k for k in range(121) if sum(lengths[:k]) <= 200)
    chosen = select("gotd", problem)
    assert chosen["doc_id"].to_list() == everything["doc_id"].head(expected).to_list()
    assert 0 < expected < 120


def test_until_zero_takes_what_helps(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, "until-zero")
    helpful = problem.scores.filter(pl.col("score") < 0)
    assert set(select("gotd", problem)["doc_id"]) == set(helpful["doc_id"])
    assert set(select("gotd-away", problem)["doc_id"]) == set(problem.scores["doc_id"]) - set(helpful["doc_id"])
    assert select("random", problem).height == helpful.height
    away = dataclasses.replace(problem, direction="away")
    assert select("random", away).height == 120 - helpful.height


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (121, "budget is 121, but only 120 candidates"),
        ("10M tokens", "hold only [0-9,]+ tokens"),
        ("1 tokens", r"the shortest candidate has [0-9]+ tokens \(estimated as characters / 4\)"),
    ],
)
def test_a_budget_that_cannot_be_met_says_what_there_is(tmp_path: Path, budget: int | str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        select("random", random_problem(tmp_path, budget))


def test_until_zero_where_nothing_helps_says_so(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, "until-zero")
    hopeless = dataclasses.replace(problem, scores=problem.scores.with_columns(score=pl.col("score").abs()))
    for name in ("gotd", "random"):
        with pytest.raises(InputError, match="no candidate"):
            select(name, hopeless)
