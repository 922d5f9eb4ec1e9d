"""Solves that begin at the potentials of an earlier target."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gotd_assets.errors import TransportError
from gotd_assets.transport import Potentials, Problem, Sketch, make_sketch, solve

EPSILON = 0.01
PROBLEM = Problem(epsilon=EPSILON)


def unit(n: int, d: int, seed: int) -> torch.Tensor:
    points = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(points, dim=1)


def sketch_of(points: torch.Tensor) -> Sketch:
    return make_sketch(points, method="all")


@pytest.fixture(scope="module")
def source() -> torch.Tensor:
    return unit(24_000, 64, 0)


@pytest.fixture(scope="module")
def target() -> torch.Tensor:
    return unit(200, 64, 1)


@pytest.fixture(scope="module")
def earlier(source: torch.Tensor, target: torch.Tensor) -> Potentials:
    return solve(source, sketch_of(target), PROBLEM)


def test_a_target_of_which_a_twentieth_changed_takes_one_pass_that_certifies(source, target, earlier) -> None:
    changed = sketch_of(torch.cat([unit(10, 64, 2), target[10:]]))
    cold, warm = solve(source, changed, PROBLEM), solve(source, changed, PROBLEM, initial=earlier)
    assert warm.certificate.converged
    assert warm.certificate.passes == 1 < cold.certificate.passes
    assert warm.certificate.subsample_passes <= 0.6 * cold.certificate.subsample_passes
    assert warm.certificate.dual_value == pytest.approx(cold.certificate.dual_value, rel=1e-4)
    top = [set(solved.scores(source).topk(240, largest=False).indices.tolist()) for solved in (cold, warm)]
    assert len(top[0] & top[1]) >= 236


@pytest.mark.parametrize(
    "change",
    [
        lambda target: target[20:],
        lambda target: torch.cat([target, unit(20, 64, 3)]),
        lambda target: target,
        lambda target: unit(50, 64, 4),
        lambda target: torch.cat([target, target[:1]]),
    ],
    ids=["points went", "points came", "nothing changed", "everything changed", "a point doubled"],
)
def test_the_potentials_are_those_of_a_cold_solve(source, target, earlier, change) -> None:
    now, tight = sketch_of(change(target)), Problem(epsilon=EPSILON, tolerance=1e-4)
    cold, warm = solve(source, now, tight), solve(source, now, tight, initial=earlier)
    assert warm.certificate.converged
    assert float((warm.scores(source) - cold.scores(source)).abs().max()) < 0.05 * EPSILON


def test_potentials_of_other_rows_are_found_out(source, target, earlier) -> None:
    changed = sketch_of(torch.cat([unit(10, 64, 2), target[10:]]))
    other = unit(len(source), 64, 5)
    cold, warm = (solve(other, changed, PROBLEM, initial=initial) for initial in (None, earlier))
    assert warm.certificate.converged
    assert warm.certificate.dual_value == pytest.approx(cold.certificate.dual_value, rel=1e-4)
    fewer = solve(source[:-1], changed, PROBLEM, initial=earlier)
    assert fewer.certificate.converged


def test_what_was_saved_is_as_good_a_start_and_less_is_good_enough(source, target, earlier, tmp_path: Path) -> None:
    changed = sketch_of(torch.cat([unit(10, 64, 2), target[10:]]))
    earlier.save(tmp_path / "potentials.safetensors")
    loaded = Potentials.load(tmp_path / "potentials.safetensors")
    warm, again = (solve(source, changed, PROBLEM, initial=initial) for initial in (earlier, loaded))
    assert torch.equal(warm.g, again.g)
    without = dataclasses.replace(earlier, f=None, column=None)
    assert solve(source, changed, PROBLEM, initial=without).certificate.converged


def test_a_target_of_which_much_changed_begins_as_if_nothing_were_known(source, target, earlier) -> None:
    changed = sketch_of(torch.cat([unit(30, 64, 2), target[30:]]))
    cold, warm = solve(source, changed, PROBLEM), solve(source, changed, PROBLEM, initial=earlier)
    assert torch.equal(cold.g, warm.g)
    assert warm.certificate.subsample_passes == cold.certificate.subsample_passes


@pytest.mark.parametrize("content", [b"damaged", "fewer rows"], ids=str)
def test_without_files_that_can_be_read_a_solve_does_as_if_there_were_none(
    source, target, earlier, content: bytes | str, tmp_path: Path
) -> None:
    changed = sketch_of(torch.cat([unit(10, 64, 2), target[10:]]))
    earlier.save(tmp_path / "potentials.safetensors")
    loaded = Potentials.load(tmp_path / "potentials.safetensors")
    file = tmp_path / "potentials-f-00001-of-00001.safetensors"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        save_file({"f": torch.zeros(5)}, file)
    without = dataclasses.replace(earlier, f=None, column=None)
    expected = solve(source, changed, PROBLEM, initial=without)
    assert torch.equal(solve(source, changed, PROBLEM, initial=loaded).g, expected.g)


@pytest.mark.parametrize("changes", [{"reach": 0.7}, {"cost": "euclidean"}, {"dtype": "float64"}], ids=str)
def test_any_problem_can_be_taken_up_again(changes: dict[str, object]) -> None:
    points, target = unit(20_000, 16, 0), unit(200, 16, 1)
    asked = Problem(**{"epsilon": 0.05, "tolerance": 1e-3, **changes})
    earlier = solve(points, sketch_of(target), asked)
    changed = sketch_of(torch.cat([unit(10, 16, 2), target[10:]]))
    cold, warm = solve(points, changed, asked), solve(points, changed, asked, initial=earlier)
    assert warm.certificate.converged
    assert warm.certificate.passes <= cold.certificate.passes
    assert warm.certificate.dual_value == pytest.approx(cold.certificate.dual_value, rel=1e-4)


def test_weighted_rows_and_another_epsilon(source, target) -> None:
    weights = torch.rand(len(source), generator=torch.Generator().manual_seed(6))
    weights[:1000] = 0
    changed = sketch_of(torch.cat([unit(10, 64, 2), target[10:]]))
    earlier = solve(source, sketch_of(target), PROBLEM, weights=weights)
    for epsilon in (EPSILON, 2 * EPSILON):
        problem = Problem(epsilon=epsilon)
        cold, warm = (solve(source, changed, problem, weights=weights, initial=initial) for initial in (None, earlier))
        assert warm.certificate.converged
        assert warm.certificate.dual_value == pytest.approx(cold.certificate.dual_value, rel=1e-4)


def test_a_point_without_weight_that_came_changes_nothing(source, target, earlier) -> None:
    weights = torch.ones(210)
    weights[200:] = 0
    padded = make_sketch(torch.cat([target, unit(10, 64, 7)]), method="all", weights=weights)
    warm = solve(source, padded, PROBLEM, initial=earlier)
    assert warm.certificate.converged
    assert warm.certificate.passes == 1
    assert float((warm.scores(source) - earlier.scores(source)).abs().max()) < 0.2 * EPSILON


def test_other_weights_of_the_same_rows_are_found_out(source, target, earlier) -> None:
    changed = sketch_of(torch.cat([unit(10, 64, 2), target[10:]]))
    weights = torch.rand(len(source), generator=torch.Generator().manual_seed(8)) + source[:, 0].exp()
    forgotten = dataclasses.replace(earlier, f=None, column=None)
    warm = solve(source, changed, PROBLEM, weights=weights, initial=earlier)
    unaware = solve(source, changed, PROBLEM, weights=weights, initial=forgotten)
    assert warm.certificate.converged
    assert torch.equal(warm.g, unaware.g)


def test_potentials_of_another_cost_are_refused(earlier: Potentials) -> None:
    with pytest.raises(TransportError, match="another cost or dimension"):
        solve(unit(100, 64, 0), sketch_of(unit(10, 64, 1)), Problem(cost="euclidean", epsilon=0.1), initial=earlier)
