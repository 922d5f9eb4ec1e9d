"""An estimate comes once, early, from updates after the first."""

import pytest

from gotd_assets.training.forecast import Forecast
from gotd_assets.training.loop import Step


def step(number: int, steps: int = 100) -> Step:
    """The first update takes 50 s, every other 2 s; each has 30 tokens."""
    return Step(number, steps, 1.0, 1e-4, 30 * number, 50.0 + 2.0 * (number - 1))


def test_the_first_update_does_not_count() -> None:
    forecast = Forecast()
    said = [forecast.take(step(number)) for number in range(1, 20)]
    assert [index for index, estimate in enumerate(said) if estimate is not None] == [3]
    estimate = said[3]
    assert estimate is not None
    assert (estimate.steps, estimate.tokens) == (100, 3000)
    assert estimate.hours == pytest.approx(200 / 3600)
    assert "100 updates, about 3,000 tokens" in str(estimate)


def test_a_resumed_training_is_judged_by_what_it_does_now() -> None:
    forecast = Forecast()
    said = [forecast.take(item) for item in ("loading", step(50), step(51), step(52), step(53))]
    assert said[:4] == [None] * 4
    assert said[4] is not None
    assert said[4].hours == pytest.approx(200 / 3600)


def test_a_short_training_needs_none() -> None:
    assert [Forecast().take(step(number, 3)) for number in (1, 2, 3)] == [None] * 3
