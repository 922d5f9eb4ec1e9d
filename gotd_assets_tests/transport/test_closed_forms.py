"""Problems whose answer is known without solving them."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from gotd_assets.errors import TransportError
from gotd_assets.transport import Problem, make_sketch, ot_value, sinkhorn_divergence, solve


def cloud(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def tight(**changes: object) -> Problem:
    asked: dict[str, object] = {"tolerance": 1e-9, "dtype": "float64", "overlap": 0, "score_error": math.inf}
    return Problem(**asked | changes)


def normal_on_a_grid(mean: float, variance: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    points = mean + math.sqrt(variance) * np.linspace(-7, 7, size)
    return points[:, None], np.exp(-((points - mean) ** 2) / (2 * variance))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(("variance", "other"), [(1.0, 1.0), (0.3, 2.0), (2.0, 0.5)])
def test_gaussians(epsilon: float, variance: float, other: float) -> None:
    """Janati, Muzellec, Peyré & Cuturi 2020, "Entropic optimal transport between unbalanced Gaussian measures", Theorem 1."""
    (x, a), (y, b) = normal_on_a_grid(0.5, variance, 300), normal_on_a_grid(-1.0, other, 200)
    solved = solve(x, make_sketch(y, method="all", weights=b), tight(epsilon=epsilon), weights=a)
    root = math.sqrt(4 * variance * other + epsilon**2)
    bures = variance + other - root + epsilon * (1 - math.log(2 * epsilon)) + epsilon * math.log(root + epsilon)
    assert solved.certificate.dual_value == pytest.approx((1.5**2 + bures) / 2, rel=1e-5)
    # The conditional mean of jointly normal variables, of covariance (root − ε)/2.
    where = np.linspace(-1, 2, 5)[:, None]
    expected = -1.0 + (root - epsilon) / 2 / variance * (where - 0.5)
    np.testing.assert_allclose(solved.barycentric_map(where).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_one_row_goes_everywhere_and_one_target_takes_everything(cost: str) -> None:
    x, y, b = cloud(1, 3, 0), cloud(20, 3, 1), np.random.default_rng(2).random(20)
    distance = cdist(x, y)[0]
    costs = distance**2 / 2 if cost == "sqeuclidean" else distance
    problem = tight(cost=cost, epsilon=0.2)
    assert ot_value(x, make_sketch(y, method="all", weights=b), problem) == pytest.approx(costs @ b / b.sum(), rel=1e-9)
    solved = solve(y, x, problem, weights=b)
    assert solved.certificate.dual_value == pytest.approx(costs @ b / b.sum(), rel=1e-9)
    np.testing.assert_allclose(solved.scores(y).numpy(), costs - costs @ b / b.sum(), atol=1e-9)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize("reach", [0.3, 2.0])
def test_one_row_before_a_relaxed_target(cost: str, reach: float) -> None:
    """min_p ⟨p,C⟩ + (ε + ρ) KL(p | b) over distributions p is −(ε + ρ) log Σ_j b_j exp(−C_j/(ε + ρ))."""
    x, y, b = cloud(1, 3, 0), cloud(20, 3, 1), np.random.default_rng(2).random(20)
    distance, rho = cdist(x, y)[0], reach**2 if cost == "sqeuclidean" else reach
    costs = distance**2 / 2 if cost == "sqeuclidean" else distance
    both = 0.2 + rho
    expected = -both * math.log(b / b.sum() @ np.exp(-costs / both))
    problem = tight(cost=cost, epsilon=0.2, reach=reach)
    assert ot_value(x, make_sketch(y, method="all", weights=b), problem) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("distance", [1e-2, 1.0, 1e2, 1e4])
def test_a_translation_adds_what_the_means_say(distance: float) -> None:
    x, y = cloud(60, 4, 0), cloud(25, 4, 1)
    shift = distance * np.array([0.6, 0.0, -0.8, 0.0])
    still = ot_value(x, make_sketch(y, method="all"), tight(epsilon=0.3))
    moved = ot_value(x, make_sketch(y + shift, method="all"), tight(epsilon=0.3))
    expected = still + shift @ (y.mean(axis=0) - x.mean(axis=0)) + shift @ shift / 2
    assert moved == pytest.approx(expected, rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("distance", [0.3, 3.0])
def test_the_divergence_of_a_translated_cloud_is_half_the_square_of_the_way(distance: float) -> None:
    x = make_sketch(cloud(50, 3, 0), method="all")
    y = make_sketch(cloud(50, 3, 0) + distance * np.array([1.0, 0.0, 0.0]), method="all")
    # The self-potentials are solved to 1e-4 ε.
    assert sinkhorn_divergence(x, y, tight(epsilon=0.3)) == pytest.approx(distance**2 / 2, abs=1e-4)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_hidden_permutation_is_found_at_every_scale(scale: float, dtype: str) -> None:
    x, order = cloud(40, 5, 0), np.random.default_rng(1).permutation(40)
    problem = Problem(epsilon=1e-3, epsilon_scale="mean", dtype=dtype)
    solved = solve(scale * x, scale * (x[order] + 0.01 * cloud(40, 5, 2)), problem)
    index, share = solved.target_pull(scale * x, k=1)
    assert torch.equal(torch.from_numpy(order)[index[:, 0]], torch.arange(40))
    assert float(share.min()) > 0.99


def test_an_infinite_epsilon_couples_independently() -> None:
    x, y = cloud(30, 3, 0), cloud(20, 3, 1)
    solved = solve(x, y, tight(epsilon=1e6))
    assert solved.certificate.dual_value == pytest.approx(cdist(x, y, "sqeuclidean").mean() / 2, rel=1e-5)
    np.testing.assert_allclose(torch.cat(list(solved.plan_rows(x))).numpy(), 1 / 20, rtol=1e-4)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, bool, np.complex64])
@pytest.mark.parametrize("place", ["source", "target"])
def test_points_that_are_no_floating_numbers_are_refused(kind: type, place: str) -> None:
    points, wrong = cloud(5, 3, 0), np.zeros((5, 3), dtype=kind)
    for given in (wrong, torch.from_numpy(wrong)):
        with pytest.raises(TransportError, match="dtype"):
            solve(*((given, points) if place == "source" else (points, given)))
