"""Intervals and p-values against scipy, and against truths that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gotd_assets.models.statistics import holm, mean_of, mean_overlap, two_way_mean

ROUNDS = 1500


def simulated(random: np.random.Generator, seeds: int, seed_effect: float, truth: float = 0.0) -> np.ndarray:
    """Nats per token of 300 documents: gaps of documents, of seeds, and of a seed with a document."""
    documents = random.normal(0, 0.1, 300)
    of_seeds = random.normal(0, seed_effect, (seeds, 1))
    return truth + of_seeds + documents + random.normal(0, 0.05, (seeds, 300))


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("seed_effect", [0.0, 0.004, 0.01, 0.016])
def test_the_interval_covers_the_truth_as_often_as_it_says(seeds: int, seed_effect: float) -> None:
    random = np.random.default_rng((seeds, round(1e4 * seed_effect)))
    rounds = [two_way_mean(simulated(random, seeds, seed_effect, 0.01)) for _ in range(ROUNDS)]
    assert np.mean([found.low <= 0.01 <= found.high for found in rounds]) >= 0.94


def test_false_alarms_are_as_rare_as_p_says() -> None:
    random = np.random.default_rng(3)
    levels = [two_way_mean(simulated(random, 5, 0.01)).p for _ in range(ROUNDS)]
    assert np.mean(np.array(levels) < 0.05) <= 0.06


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_counts_that_are_equal_in_all_seeds_by_chance_are_no_finding(seeds: int) -> None:
    # A few of 120 texts are right with one model and wrong with the other, as often one way as the other.
    random = np.random.default_rng(4)
    tables = (random.choice([-1.0, 0.0, 1.0], p=[0.01, 0.98, 0.01], size=(seeds, 120)) for _ in range(ROUNDS))
    assert np.mean([two_way_mean(table).p < 0.05 for table in tables]) <= 0.055
    # In every seed another text went wrong, and nothing else changed.
    table = np.zeros((seeds, 120))
    table[np.arange(seeds), np.arange(seeds)] = -1
    assert two_way_mean(table).p > 0.01


def test_of_one_item_per_seed_effect_alone_it_is_students_t() -> None:
    # No document differs from another: what is left is a t-test of the seeds.
    of_seeds = np.array([0.3, 0.5, 0.1, 0.9])
    found = two_way_mean(np.repeat(of_seeds[:, None], 50, axis=1))
    test = stats.ttest_1samp(of_seeds, 0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, test.pvalue))


def test_of_one_seed_it_is_a_paired_t_test_of_the_items() -> None:
    gaps = np.random.default_rng(1).normal(0.2, 1.0, 40)
    found, test = two_way_mean(gaps[None]), stats.ttest_1samp(gaps, 0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, test.pvalue))


def test_weights_make_it_the_ratio_of_sums() -> None:
    random = np.random.default_rng(2)
    tokens, nats = random.integers(5, 80, 60), random.normal(0, 1, (3, 60))
    found = two_way_mean(nats / tokens, tokens)
    assert found.value == pytest.approx(nats.mean(axis=0).sum() / tokens.sum())
    # Jackknife over documents, of one seed: an independent estimate of the same error.
    one = two_way_mean((nats / tokens)[:1], tokens)
    left_out = (nats[0].sum() - nats[0]) / (tokens.sum() - tokens)
    error = np.sqrt(59 / 60 * ((left_out - left_out.mean()) ** 2).sum())
    assert one.high - one.value == pytest.approx(stats.t.isf(0.025, 59) * error, rel=0.05)


@given(st.integers(1, 6), st.integers(2, 12), st.integers(0, 10_000))
def test_zero_is_outside_the_interval_exactly_when_p_is_below_a_twentieth(seeds: int, items: int, seed: int) -> None:
    found = two_way_mean(np.random.default_rng(seed).normal(0.3, 1, (seeds, items)))
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    assert 0 < found.p <= 1


def test_no_difference_at_all_is_no_finding() -> None:
    found = two_way_mean(np.zeros((3, 5)))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_holms_correction_on_an_example_worked_by_hand() -> None:
    # Times 4, 3, 2, 1 from the smallest on, never falling: 0.04, then 0.06, then again 0.06 (0.04 · 2 would be more), 0.08.
    assert holm([0.03, 0.01, 0.02, 0.04]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_interval_of_a_mean_is_scipys():
    values = [3.0, 4.5, 5.0, 7.0]
    mean = mean_of(values)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean.value - mean.half_width == pytest.approx(interval.low)
    assert mean.value + mean.half_width == pytest.approx(interval.high)


def test_a_single_seed_has_no_interval():
    assert mean_of([2.0]).half_width is None


def test_overlap_is_the_mean_over_pairs():
    assert mean_overlap([["a", "b"], ["b", "c"], ["a", "b"]]) == pytest.approx((0.5 + 1.0 + 0.5) / 3)
    assert mean_overlap([["a"]]) is None
