"""Paired comparisons against scipy, and against truths that are known."""

import numpy as np
import pytest
from scipy import stats

from gotd_assets.models.comparison import compare, compare_reports, corrected
from gotd_assets.models.perplexity import PerplexityReport


def test_a_shift_of_every_document_is_found_exactly():
    tokens = np.array([10, 20, 30, 40])
    theirs = dict.fromkeys(range(3), tokens * 4.0)
    ours = {seed: nll - 0.1 * tokens for seed, nll in theirs.items()}
    difference = compare(ours, theirs, tokens)
    assert difference.change == pytest.approx(np.exp(-0.1) - 1)
    assert difference.low == pytest.approx(difference.high) == pytest.approx(difference.change)


def test_interval_covers_the_truth_as_often_as_it_says():
    random, covered, rounds = np.random.default_rng(0), 0, 120
    tokens = np.full(60, 10)
    for _ in range(rounds):
        documents = random.normal(0.5, 1.0, 60)
        theirs = {seed: np.zeros(60) for seed in range(8)}
        ours = {seed: documents + random.normal(0, 0.3) + random.normal(0, 1, 60) for seed in range(8)}
        difference = compare(ours, theirs, tokens)
        covered += difference.low <= np.expm1(0.05) <= difference.high
    assert covered >= 0.9 * rounds


def test_p_value_agrees_with_scipys_permutation_test():
    random = np.random.default_rng(1)
    gaps = random.normal(0.25, 1.0, 40)
    difference = compare({0: gaps}, {0: np.zeros(40)}, np.ones(40))
    reference = stats.permutation_test(
        (gaps, np.zeros(40)), lambda x, y: (x - y).mean(), permutation_type="samples", n_resamples=4000, rng=2
    )
    assert difference.p == pytest.approx(reference.pvalue, abs=0.03)


def test_what_is_sure_alone_may_not_be_among_many():
    gaps = np.random.default_rng(4).normal(0.02, 0.06, (4, 50))
    alone = compare(dict(enumerate(gaps)), dict.fromkeys(range(4), np.zeros(50)), np.ones(50))
    assert 0.001 < alone.p < 0.05
    assert alone.sure
    among = corrected([alone] * 60)
    assert among[0].corrected == pytest.approx(min(1.0, 60 * alone.p))
    assert not among[0].sure
    assert str(among[0]).endswith(f"p {among[0].corrected:.2g}")


def test_one_seed_says_nothing_about_another():
    gaps = np.random.default_rng(4).normal(-0.5, 0.1, 50)
    one = compare({0: gaps}, {0: np.zeros(50)}, np.ones(50))
    assert one.p < 1e-6
    assert not one.sure


def test_only_common_seeds_are_compared():
    nll = np.ones(4)
    assert compare({0: nll, 1: nll}, {1: nll, 2: nll}, np.ones(4)).seeds == 1
    assert compare({0: nll}, {1: nll}, np.ones(4)) is None


def test_a_single_document_has_no_interval_and_so_no_comparison():
    one = PerplexityReport.of([12.0], [4], "causal")
    assert (one.perplexity, one.low, one.high) == (pytest.approx(np.exp(3.0)), None, None)
    assert compare_reports(one, one) is None
    assert compare_reports(one, None) is None


def test_pairing_finds_what_overlapping_intervals_hide():
    random = np.random.default_rng(5)
    tokens = random.integers(20, 60, 80)
    base = tokens * random.normal(4, 0.5, 80)
    ours = base - tokens * random.normal(0.05, 0.02, 80)
    before, after = (PerplexityReport.of(nll, tokens, "causal") for nll in (base, ours))
    assert after.high > before.low
    difference = compare_reports(after, before)
    assert difference.low < np.expm1(-0.05) < difference.high < 0
    t = stats.ttest_rel(ours, base)
    assert t.pvalue < 0.01
    assert difference.p < 0.01
    assert str(difference).startswith(f"{100 * difference.change:+.1f} % [")
