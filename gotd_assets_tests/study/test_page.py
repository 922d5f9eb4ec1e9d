"""The page, its verdicts and what it says of losses, of results that were made up."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from benchmarks.study.page import write_page
from benchmarks.study.results import StudyResults
from benchmarks.study.verdicts import losses, tallies, verdicts
from gotd_assets.comparison.results import Results
from gotd_assets_tests.study import made_up
from gotd_assets_tests.study.worlds import PLAN


@pytest.fixture(scope="module")
def results() -> StudyResults:
    return made_up.results()


def test_page_tells_what_was_measured(results: StudyResults, tmp_path: Path) -> None:
    page = tmp_path / "study.md"
    write_page([results], page, dt.date(2026, 1, 2))
    text = page.read_text(encoding="utf-8")
    share = results.rare_share("both", "dsir", 10)
    assert share is not None
    assert f"{100 * share.value:.1f} %" in text
    assert f"{results.comparisons['as-it-comes'].bases['rare'].perplexity:.2f}" in text
    assert "tuned while looking at results" in text
    for name in ("test-shares.svg", "test-perplexity.svg"):
        assert (tmp_path / "study" / name).read_text(encoding="utf-8").startswith("<?xml")
        assert f"study/{name}" in text


def test_the_page_says_how_much_of_the_plan_was_run(results: StudyResults, tmp_path: Path) -> None:
    regime = results.comparisons["as-it-comes"]
    kept = {key: made for key, made in regime.made.items() if key != ("both", "gotd", 10, 1)}
    some = {**results.comparisons, "as-it-comes": Results(kept, regime.bases)}
    write_page([dataclasses.replace(results, comparisons=some)], tmp_path / "study.md", dt.date(2026, 1, 2))
    text = (tmp_path / "study.md").read_text(encoding="utf-8")
    assert "| selections | 31 | 32 |" in text
    assert "| trainings, both, as-it-comes (fewer seeds: gotd 1) | 7 | 8 |" in text
    assert "| trainings, both, trained-on-pool | 8 | 8 |" in text


def test_a_study_with_other_vectors_is_put_beside_minilms(results: StudyResults, tmp_path: Path) -> None:
    page = tmp_path / "study.md"
    rare = {
        key: dataclasses.replace(made, sources={"common": 9, "rare": 1})
        for key, made in results.comparisons["as-it-comes"].made.items()
    }
    comparisons = {
        **results.comparisons,
        "as-it-comes": dataclasses.replace(results.comparisons["as-it-comes"], made=rare),
    }
    other = made_up.with_plan(dataclasses.replace(results, comparisons=comparisons), encoder="lexical")
    write_page([other], page, dt.date(2026, 1, 1))
    assert "and with MiniLM's" not in page.read_text(encoding="utf-8")
    write_page([results, other], page, dt.date(2026, 1, 2))
    section = page.read_text(encoding="utf-8").split("## The test, lexical encoder study")[1]
    gap = results.difference("rare", "as-it-comes", "gotd", "dsir")
    row = next(line for line in section.splitlines() if line.startswith("| rare | gotd |"))
    assert row.split(" | ")[2:] == ["100.0 % ± 0.0", "10.0 % ± 0.0", str(gap), f"{gap} |"]


def test_page_is_the_same_when_written_again(results: StudyResults, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_page([results], tmp_path / folder / "study.md", dt.date(2026, 1, 2))
    for name in ("study.md", "study/test-shares.svg", "study/test-perplexity.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_sections_of_studies_that_ran_elsewhere_stay(results: StudyResults, tmp_path: Path) -> None:
    page = tmp_path / "study.md"
    write_page([made_up.with_plan(results, name="other")], page, dt.date(2026, 1, 1))
    other = page.read_text(encoding="utf-8")
    write_page([results], page, dt.date(2026, 1, 2))
    both = page.read_text(encoding="utf-8")
    assert "## The test study" in both
    assert both.count("## To be kept in mind") == 1
    start = other.index("## The other study")
    assert other[start : other.index("## To be kept in mind")].strip() in both


def test_losses_name_every_comparison_that_gotd_does_not_win(results: StudyResults) -> None:
    told = losses(results)
    whole = [line for line in told if "on its part" not in line]
    for regime in results.regimes:
        for target in results.targets:
            for other in ("random", "dsir", "tapt-c"):
                worse = results.difference(target, regime, "gotd", other).change > 0
                lines = [line for line in whole if line.startswith(f"{target}, {regime}:") and f"`{other}`" in line]
                assert bool(lines) == worse


def test_losses_name_the_part_of_a_mixture_that_suffers(results: StudyResults) -> None:
    told = [line for line in losses(results) if "on its part" in line and "`gotd`" in line]
    expected = [
        (regime, domain)
        for regime in results.regimes
        for domain in ("common", "rare")
        if results.difference("both", regime, "gotd", "random", domain).change > 0
    ]
    assert expected
    assert len(told) == len(expected)
    for line, (regime, domain) in zip(told, expected, strict=True):
        assert line.startswith(f"both, {regime}: on its part {domain} ")


def test_promises_follow_the_figures(results: StudyResults) -> None:
    found = {(entry.question, entry.target): entry.answer for entry in verdicts(results)}
    assert found["share of the rare domain at least 8 times the pool's", "rare"] == "yes"
    gap = results.difference("rare", "as-it-comes", "gotd", "dsir")
    answer = found["perplexity better than dsir's, interval without zero", "rare, as-it-comes"]
    assert (answer == "yes") == (gap.high < 0)
    # A second of selecting, ten of training.
    assert found["selection without embedding under 0.1 of one training's time", "rare"] == "**no**"


def test_a_mixture_is_told_apart_by_domain(results: StudyResults) -> None:
    whole = results.difference("both", "as-it-comes", "gotd", "random")
    parts = [results.difference("both", "as-it-comes", "gotd", "random", domain) for domain in ("common", "rare")]
    assert sum(part.documents for part in parts) == whole.documents
    made = results.comparisons["as-it-comes"].made
    ours, theirs = ([made["both", m, 10, seed].perplexity for seed in (0, 1)] for m in ("gotd", "random"))
    rare = results.heldout_domains["both"] == "rare"
    gap = sum((a.document_nll - b.document_nll)[rare].sum() for a, b in zip(ours, theirs, strict=True)) / 2
    assert parts[1].change == pytest.approx(np.expm1(gap / ours[0].document_tokens[rare].sum()))


def test_tallies_count_every_target_and_regime_once(results: StudyResults) -> None:
    told = tallies(results)
    assert {(tally.method, tally.other) for tally in told} == {
        ("gotd", other) for other in ("random", "dsir", "tapt-c")
    }
    for tally in told:
        assert sum(tally.counts) == len(PLAN.targets) * len(PLAN.regimes)
        gaps = [results.difference(t, r, tally.method, tally.other) for t in results.targets for r in results.regimes]
        # Wins are corrected for all that are counted.
        assert tally.counts[0] <= sum(gap.high < 0 for gap in gaps)
