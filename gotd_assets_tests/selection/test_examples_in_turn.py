"""Round-robin over target examples, against the loop that the paper's code has."""

from pathlib import Path

import numpy as np
import pytest

from gotd_assets.errors import InputError
from gotd_assets.selection.methods import select
from gotd_assets_tests.selection.test_baselines import random_problem


def by_the_papers_loop(problem, wanted: int) -> list[str]:
    """`for i in cycle(targets): take argmax_j similarity[i, j] unused`, on the whole matrix."""
    doc_ids = [doc_id for shard in problem.pool for doc_id in shard.doc_ids]
    vectors = np.concatenate([np.asarray(shard.vectors, dtype=np.float64) for shard in problem.pool])
    similarity = -((np.asarray(problem.target, dtype=np.float64)[:, None] - vectors[None]) ** 2).sum(axis=-1)
    allowed = set(problem.scores["doc_id"])
    similarity[:, [doc_id not in allowed for doc_id in doc_ids]] = -np.inf
    picked = []
    while len(picked) < wanted:
        best = int(similarity[len(picked) % len(similarity)].argmax())
        picked.append(doc_ids[best])
        similarity[:, best] = -np.inf
    return picked


@pytest.mark.parametrize("least", [1, 64])
def test_examples_take_turns_as_in_the_paper(tmp_path: Path, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With few kept at first, lists run out and are read again, longer.
    monkeypatch.setattr("gotd_assets.selection.methods.examples_in_turn._LEAST_KEPT", least)
    problem = random_problem(tmp_path, budget=25)
    assert select("round-robin", problem)["doc_id"].to_list() == by_the_papers_loop(problem, 25)


def test_every_candidate_can_be_taken_and_no_more(tmp_path: Path) -> None:
    problem = random_problem(tmp_path, budget=10)
    everything = problem.scores.height
    whole = random_problem(tmp_path / "whole", budget=everything)
    assert set(select("round-robin", whole)["doc_id"]) == set(whole.scores["doc_id"])
    with pytest.raises(InputError, match="may be selected"):
        select("round-robin", random_problem(tmp_path / "more", budget=everything + 1))


def test_it_cannot_turn_away(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot select away"):
        select("round-robin", random_problem(tmp_path, direction="away"))
