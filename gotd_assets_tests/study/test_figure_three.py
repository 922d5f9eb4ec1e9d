import dataclasses

import pytest

from benchmarks.study.figure_three import MIXTURE, draw, select_by_all
from benchmarks.study.figure_three_points import BUDGET, RESAMPLING, points_experiment
from benchmarks.study.figure_three_text import text_experiment
from benchmarks.study.plan import Target
from benchmarks.study.plots import save
from gotd_assets_tests.study.worlds import PLAN, make_study


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return points_experiment(tmp_path_factory.mktemp("points"), budgets=(BUDGET,))


@pytest.fixture(scope="module")
def points(experiment):
    """All methods for one mixture; for others those of which something is asserted."""
    some = dataclasses.replace(experiment, methods=("gotd", "gotd-rounds", RESAMPLING))
    return [*select_by_all(experiment, (MIXTURE,)), *select_by_all(some, (0.01, 0.1, 1.0))]


def at(points, method, mixture=MIXTURE, budget=BUDGET):
    return next(p for p in points if (p.method, p.mixture, p.budget) == (method, mixture, budget))


@pytest.mark.slow
def test_the_gradient_selects_what_is_missing_and_matching_selects_the_target(points):
    assert at(points, "gotd").rare >= 0.95
    assert at(points, RESAMPLING).rare == pytest.approx(0.5, abs=0.15)
    assert at(points, "random").rare < 0.05


@pytest.mark.slow
def test_resampling_follows_the_mixture(points):
    shares = [at(points, RESAMPLING, mixture).rare for mixture in (0.01, 0.1, MIXTURE, 1.0)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9


@pytest.mark.slow
def test_the_gradient_saves_more_transport_cost_than_matching(points):
    def saved(method):
        return at(points, method).before - at(points, method).after

    assert saved("gotd-rounds") > saved(RESAMPLING) > saved("random")


@pytest.mark.slow
def test_rounds_stop_where_a_single_step_goes_too_far(points):
    one, rounds = at(points, "gotd", 0.1), at(points, "gotd-rounds", 0.1)
    assert one.after > one.before
    assert rounds.after < rounds.before
    assert rounds.rare < one.rare
    assert at(points, "gotd-rounds", 0.01).rare < 0.1


@pytest.mark.slow
def test_the_plot_is_the_same_every_time(points, experiment, tmp_path):
    for name in ("a.svg", "b.svg"):
        save(draw(points, experiment), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.fixture(scope="module")
def on_text(tmp_path_factory):
    plan = dataclasses.replace(
        PLAN, pool={"news": 1000, "other": 20, "film": 30}, targets=(Target("both", ("news", "film"), "film"),)
    )
    study = make_study(tmp_path_factory.mktemp("study"), plan)
    return text_experiment(study, tmp_path_factory.mktemp("text"), target=20)


def test_the_pool_of_text_is_99_to_1(on_text):
    counts = dict(on_text.pose(0.5).pool.doc_ids().group_by("source").len().iter_rows())
    assert counts == {"news": 1000, "film": 10}
    assert on_text.is_rare.get_column("rare").sum() == 10


def test_the_target_of_text_has_the_mixture(on_text):
    for mixture in (0.1, 0.5, 1.0):
        problem = on_text.pose(mixture)
        # Domains lie in directions of their own.
        is_film = problem.target[:, 2] > problem.target[:, 0]
        assert len(problem.target) == len(problem.target_texts) == 20
        assert is_film.mean() == pytest.approx(mixture, abs=0.11)


def test_on_text_the_gradient_selects_what_is_missing(on_text):
    few = dataclasses.replace(on_text, methods=("gotd", "dsir", "random"))
    points = select_by_all(few, (MIXTURE,))
    assert {point.budget for point in points} == set(on_text.budgets)
    most = on_text.budgets[-1]
    assert at(points, "gotd", budget=most).rare >= 0.9
    assert at(points, "random", budget=most).rare < 0.4
    before, after = (getattr(at(points, "gotd", budget=most), name) for name in ("before", "after"))
    assert after < before


def test_a_small_selection_is_the_beginning_of_a_larger_one_where_that_is_said(on_text):
    problem = on_text.pose(MIXTURE)
    assert on_text.nested == {*on_text.methods} - {"gotd-rounds"}
    for method in ("gotd", "dsir", "random", "tapt-c"):
        small, large = (
            on_text.choose(method, dataclasses.replace(problem, budget=budget), MIXTURE) for budget in (3, 10)
        )
        assert small.to_list() == large[:3].to_list()
