import pytest
from scipy import stats

from benchmarks.study.statistics import mean_of, mean_overlap


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
