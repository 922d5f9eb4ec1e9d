"""Debiased values and scores, against geomloss and POT in float64 and against what must hold."""

import numpy as np
import ot
import pytest
import torch
from geomloss import SamplesLoss
from scipy.special import logsumexp

from gotd_assets.transport import Problem, make_sketch, ot_value, sinkhorn_divergence, solve


def cloud(n: int, d: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def geomloss(p: int, epsilon: float) -> SamplesLoss:
    blur = epsilon ** (1 / p)
    return SamplesLoss("sinkhorn", p=p, blur=blur, scaling=0.999, backend="tensorized", debias=True)


@pytest.mark.parametrize(("cost", "p"), [("sqeuclidean", 2), ("euclidean", 1)])
def test_the_divergence_is_that_of_geomloss(cost: str, p: int) -> None:
    x, y = cloud(70, 3), cloud(40, 3, seed=1, shift=0.7)
    a = torch.rand(70, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    b = torch.full((40,), 1 / 40, dtype=torch.float64)
    left, right = make_sketch(x, method="all", weights=a), make_sketch(y, method="all")
    theirs = geomloss(p, 0.5)(a / a.sum(), x.double(), b, y.double())
    ours = sinkhorn_divergence(left, right, Problem(cost=cost, epsilon=0.5, tolerance=1e-4))
    assert ours == pytest.approx(float(theirs), rel=1e-3)


def test_the_divergence_of_equal_measures_is_zero_and_it_is_symmetric() -> None:
    left, right = make_sketch(cloud(50, 3), method="all"), make_sketch(cloud(30, 3, seed=1, shift=1.0), method="all")
    problem = Problem(epsilon=0.3, tolerance=1e-4)
    assert sinkhorn_divergence(left, left, problem) == pytest.approx(0.0, abs=1e-4)
    there, back = sinkhorn_divergence(left, right, problem), sinkhorn_divergence(right, left, problem)
    assert there == pytest.approx(back, rel=1e-3)
    assert there > 0.5


def pot_potential(x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, epsilon: float) -> np.ndarray:
    """The source potential of OT_ε, up to a constant."""
    matrix = torch.cdist(x.double(), y.double()).square().numpy() / 2
    _, log = ot.bregman.sinkhorn_log(a.numpy(), b.numpy(), matrix, epsilon, numItermax=20_000, stopThr=1e-10, log=True)
    return epsilon * log["log_u"] - epsilon * np.log(a.numpy())


def self_potential_by_hand(x: torch.Tensor, a: torch.Tensor, epsilon: float) -> np.ndarray:
    """f(x_i) = −ε log Σ_{j≠i} a_j/(1−a_i) exp((f_j − C_ij)/ε), by plain iteration in float64."""
    exponent = -torch.cdist(x.double(), x.double()).square().numpy() / (2 * epsilon) + np.log(a.numpy())[None]
    exponent -= np.log(1 - a.numpy())[:, None]
    np.fill_diagonal(exponent, -np.inf)
    f = np.zeros(len(x))
    for _ in range(3000):
        f = 0.5 * (f - epsilon * logsumexp(f[None] / epsilon + exponent, axis=1))
    return f


@pytest.mark.parametrize("weighted", [False, True])
def test_debiased_scores_are_those_of_pot_less_a_self_potential_by_hand(weighted: bool) -> None:
    x, y = cloud(90, 3), cloud(30, 3, seed=1, shift=0.5)
    a, b = torch.ones(90, dtype=torch.float64), torch.full((30,), 1 / 30, dtype=torch.float64)
    if weighted:
        a[:60] = 0.0
        a[60:70] = 5.0
    a /= a.sum()
    ours = solve(
        x, make_sketch(y, method="all"), Problem(epsilon=0.5, tolerance=1e-9, dtype="float64"), weights=a, debias=True
    )
    used = a > 0
    theirs = pot_potential(x[used], y, a[used], b, 0.5) - self_potential_by_hand(x[used], a[used], 0.5)
    theirs -= a[used].numpy() @ theirs
    np.testing.assert_allclose(ours.scores(x[used].double()), theirs, atol=1e-4)


def two_topics() -> tuple[torch.Tensor, torch.Tensor]:
    """A pool of 1,200 unit vectors, a quarter of which are of the target's topic, and a target of 60, far apart as texts are."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.nn.functional.normalize(torch.randn(6, 64, generator=generator), dim=1)
    topic = torch.cat([torch.zeros(300, dtype=torch.long), 1 + torch.arange(900) % 5])
    noise = torch.randn(1260, 64, generator=generator) / 8
    points = torch.nn.functional.normalize(directions[torch.cat([topic, topic[:60]])] + noise, dim=1)
    return points[:1200], points[1200:]


def test_no_sketch_bars_its_members_or_moves_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotd_assets.transport.debiasing._LARGEST_SKETCH", 800)
    pool, target = two_topics()
    solved = solve(pool, make_sketch(target, method="all"), Problem(epsilon=0.05, tolerance=1e-3))
    best = []
    for seed in range(3):
        debiased = solved.debiased(pool, seed=seed)
        is_member = torch.cdist(pool, debiased.self_sketch.points).amin(dim=1) < 1e-3
        assert int(is_member.sum()) == 800
        chosen = debiased.scores(pool).topk(100, largest=False).indices
        # Two in three are in the sketch, and as many of the chosen: of 100 draws 57 to 76 in 95 %.
        assert 55 <= int(is_member[chosen].sum()) <= 78
        best.append(set(chosen.tolist()))
    assert min(len(best[0] & best[1]), len(best[1] & best[2]), len(best[0] & best[2])) >= 75


def test_a_source_of_one_point_has_a_self_potential() -> None:
    solved = solve(cloud(1, 3), make_sketch(cloud(5, 3, seed=1), method="all"), Problem(epsilon=0.5), debias=True)
    assert bool(torch.isfinite(solved.scores(cloud(4, 3, seed=2))).all())


def test_debiasing_a_large_source_that_is_mostly_weightless() -> None:
    x = cloud(6000, 3)
    weights = torch.zeros(6000)
    weights[::20] = 1.0
    target = make_sketch(cloud(30, 3, seed=1, shift=0.5), method="all")
    problem = Problem(epsilon=0.5, tolerance=1e-6)
    zeroed = solve(x, target, problem, weights=weights, debias=True)
    alone = solve(x[::20], target, problem, debias=True)
    np.testing.assert_allclose(zeroed.scores(x[:500]), alone.scores(x[:500]), atol=1e-3)


def test_mixing_the_target_into_the_source_lowers_the_transport_value() -> None:
    pool, target = cloud(4000, 6), cloud(200, 6, seed=1, shift=0.8)
    sketch = make_sketch(target, method="all")
    values = []
    for share in (0.0, 0.2, 0.5, 1.0):
        weights = torch.cat([torch.full((4000,), (1 - share) / 4000), torch.full((200,), share / 200)])
        values.append(ot_value([pool, target], sketch, Problem(epsilon=0.2, tolerance=1e-4), weights=weights))
    assert values == sorted(values, reverse=True)


def test_a_few_heavy_rows_among_many_are_served_exactly() -> None:
    """A tenth of a percent of the rows carries a fifth of the mass, as in an effective distribution."""
    pool, chosen = cloud(20_000, 6), cloud(20, 6, seed=3, shift=1.0)
    weights = torch.cat([torch.full((20_000,), 0.8 / 20_000), torch.full((20,), 0.2 / 20)])
    sketch = make_sketch(cloud(80, 6, seed=1, shift=0.5), method="all")
    mixed = solve([pool, chosen], sketch, Problem(epsilon=0.1, tolerance=1e-3), weights=weights)
    assert mixed.certificate.converged
    assert 0 < mixed.certificate.subsample_rows < 20_020
    exact = solve([pool, chosen], sketch, Problem(epsilon=0.1, tolerance=1e-8, dtype="float64"), weights=weights)
    assert mixed.certificate.dual_value == pytest.approx(exact.certificate.dual_value, rel=1e-5)


def test_the_ranking_does_not_depend_on_the_number_of_threads() -> None:
    x, target = cloud(10_000, 32), make_sketch(cloud(100, 32, seed=1), method="all")
    before, top = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            scores = solve(x, target, Problem(epsilon=1.0)).scores(x)
            top.append(set(scores.topk(100, largest=False).indices.tolist()))
    finally:
        torch.set_num_threads(before)
    assert len(top[0] & top[1] & top[2]) >= 98


def test_points_without_weight_are_never_drawn() -> None:
    sketch = make_sketch(cloud(20, 3), method="random", size=10, weights=torch.tensor([1.0] * 4 + [0.0] * 16))
    np.testing.assert_allclose(sketch.weights, [0.25] * 4)
