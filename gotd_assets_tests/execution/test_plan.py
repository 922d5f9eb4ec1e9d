"""The plan for many documents: what docs/cluster.md shows is what the command says, and what it says is its formula."""

import json

import pytest

from benchmarks import plan
from gotd_assets_tests.end_to_end.project import REPOSITORY


def test_the_page_shows_what_the_command_prints() -> None:
    page = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
    for line in plan.table(10, 16, 1000).splitlines():
        assert line in page, "write it anew: python -m benchmarks.plan"


def test_hours_are_documents_times_seconds_over_processors() -> None:
    corpus = json.loads((plan.RESULTS / "corpus.json").read_text())
    reading = corpus["steps"]["raw_candidates[pool]"]["processor_seconds"] / corpus["documents"]
    hours = float(next(line for line in plan.table(5, 8, 1000).splitlines() if "read and clean" in line).split("|")[-2])
    assert hours == pytest.approx(10**9 * reading / 40 / 3600, rel=0.05)


def test_a_pass_sends_each_holder_the_potential_and_brings_a_sum_of_every_part() -> None:
    # 100,000 rows in blocks of 2,097, eight to a part: six parts.
    assert plan.pass_bytes(100_000, 1000, 3) == 3 * 4000 + 6 * 2001 * 8
