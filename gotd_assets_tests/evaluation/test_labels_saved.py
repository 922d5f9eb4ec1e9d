"""Labels saved: read off two curves alike, so that equal models save nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from sklearn.isotonic import IsotonicRegression

from gotd_assets.evaluation.labels_saved import _rising, labels_saved, labels_saved_with_intervals

SIZES = [50, 100, 200, 400]
CURVES = st.lists(st.floats(0, 1).map(lambda value: round(value, 3)), min_size=4, max_size=4)


def test_a_curve_moved_to_fewer_labels_saves_what_it_was_moved_by() -> None:
    def accuracy(n: float) -> float:
        return 0.4 + 0.1 * np.log(n)

    base = {size: accuracy(size) for size in SIZES}
    ours = {size: accuracy(1.5 * size) for size in SIZES}
    # A model that does with n labels what the base model does with 1.5 n: of 200, 67 are saved, or 100 more are worth.
    assert labels_saved(base, ours)[200] == pytest.approx((200 * 1.5 - 200 / 1.5) / 2, rel=1e-6)


def test_between_sizes_it_is_scipys_interpolation() -> None:
    base, ours = (
        dict(zip(SIZES, [0.3, 0.5, 0.6, 0.7], strict=True)),
        dict(zip(SIZES, [0.4, 0.55, 0.68, 0.72], strict=True)),
    )
    needed = interp1d(list(ours.values()), np.log(SIZES))(base[200])
    by_base = interp1d(list(base.values()), np.log(SIZES))(ours[200])
    assert labels_saved(base, ours)[200] == pytest.approx((np.exp(by_base) - np.exp(needed)) / 2)


@given(CURVES, CURVES)
def test_exchanging_the_models_turns_the_sign(left: list[float], right: list[float]) -> None:
    one, other = dict(zip(SIZES, left, strict=True)), dict(zip(SIZES, right, strict=True))
    there, back = labels_saved(one, other), labels_saved(other, one)
    assert [there[size] for size in SIZES] == pytest.approx([-back[size] for size in SIZES])
    assert labels_saved(one, one) == dict.fromkeys(SIZES, 0.0)


@settings(deadline=None)  # scikit-learn loads at the first call
@given(CURVES)
def test_curves_are_made_to_rise_as_scikit_learn_does(scores: list[float]) -> None:
    assert _rising(scores) == pytest.approx(IsotonicRegression().fit_transform(range(4), scores), abs=1e-9)


def test_under_no_effect_the_mean_is_zero_and_the_interval_holds_zero() -> None:
    """The same model twice, each time with noise of its own: as two trainings of it are."""
    random, found = np.random.default_rng(2), []
    for _ in range(150):
        chance = random.beta(2, 1, size=60)
        models = [
            {
                size: (random.random((4, 60)) < np.clip(chance - 0.2 + 0.04 * np.log(size), 0, 1)).astype(float)
                for size in SIZES
            }
            for _ in "12"
        ]
        found.append(labels_saved(*({size: float(right.mean()) for size, right in m.items()} for m in models))[200])
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    # The earlier estimate, of the one side alone, is about a sixth of the labels here.
    assert error < 15


def test_an_interval_knows_a_large_effect_from_none() -> None:
    random = np.random.default_rng(3)

    def right(gain: float) -> dict[int, np.ndarray]:
        return {size: (random.random((5, 200)) < 0.3 + 0.08 * np.log(size / 50) + gain).astype(float) for size in SIZES}

    base, same, better = right(0.0), right(0.0), right(0.06)
    nothing, much = labels_saved_with_intervals(base, same)[200], labels_saved_with_intervals(base, better)[200]
    assert nothing.low < 0 < nothing.high
    assert 0 < much.low < much.value <= much.high
