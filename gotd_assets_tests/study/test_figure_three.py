import pytest

from gotd_assets.study.figure_three import BUDGET, MIXTURE, RESAMPLING, draw, figure_three
from gotd_assets.study.plots import save


@pytest.fixture(scope="module")
def points():
    return figure_three((0.01, 0.1, MIXTURE, 1.0), (10, BUDGET))


def at(points, method, mixture=MIXTURE, budget=BUDGET):
    return next(p for p in points if (p.method, p.mixture, p.budget) == (method, mixture, budget))


def test_the_gradient_selects_what_is_missing_and_matching_selects_the_target(points):
    assert at(points, "gotd").dogs >= 0.95
    assert at(points, RESAMPLING).dogs == pytest.approx(0.5, abs=0.15)
    assert at(points, "random").dogs < 0.05


def test_resampling_follows_the_mixture(points):
    shares = [at(points, RESAMPLING, mixture).dogs for mixture in (0.01, 0.1, MIXTURE, 1.0)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9


def test_the_gradient_saves_more_transport_cost_than_matching(points):
    def saved(method):
        return at(points, method).before - at(points, method).after

    assert saved("gotd-rounds") > saved(RESAMPLING) > saved("random")


def test_rounds_stop_where_a_single_step_goes_too_far(points):
    one, rounds = at(points, "gotd", 0.1), at(points, "gotd-rounds", 0.1)
    assert one.after > one.before
    assert rounds.after < rounds.before
    assert rounds.dogs < one.dogs
    assert at(points, "gotd-rounds", 0.01).dogs < 0.1


def test_the_plot_is_the_same_every_time(points, tmp_path):
    for name in ("a.svg", "b.svg"):
        save(draw(points), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
