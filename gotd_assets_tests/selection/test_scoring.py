"""Figures of scores that are read part by part."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.selection.scoring import order_statistics


@given(
    values=st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=60),
    cut=st.integers(0, 60),
)
def test_order_statistics_are_exact_whatever_the_parts(values: list[float], cut: int) -> None:
    array = np.array(values)
    parts = [part for part in (array[:cut], array[cut:]) if len(part)]
    places = [0, (len(values) - 1) // 2, len(values) // 2, len(values) - 1]
    np.testing.assert_array_equal(order_statistics(lambda: iter(parts), places), np.sort(array)[places])


@pytest.mark.parametrize("count", [100_000, 100_001])
def test_the_median_of_many(count: int) -> None:
    scores = np.random.default_rng(0).normal(size=count).round(4)
    places = [(count - 1) // 2, count // 2]
    found = order_statistics(lambda: iter(np.array_split(scores, 7)), places)
    assert float(np.mean(found)) == float(np.median(scores))
