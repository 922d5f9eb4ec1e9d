"""What is taken for a source and a target, what is refused, and numbers at the edge, against dense float64 solutions."""

import numpy as np
import polars as pl
import pytest
import torch

from gotd_assets.errors import TransportError
from gotd_assets.transport import Problem, Sketch, make_sketch, solve


def cloud(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, epsilon: float) -> float:
    """OT_ε by Sinkhorn's algorithm in the log domain, from its definition."""
    cost, g = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square() / 2, torch.zeros(len(y)).double()
    for _ in range(3000):
        f = -epsilon * torch.logsumexp((g - cost) / epsilon + b.log(), 1)
        g = -epsilon * torch.logsumexp((f[:, None] - cost) / epsilon + a.log()[:, None], 0)
    f = -epsilon * torch.logsumexp((g - cost) / epsilon + b.log(), 1)
    return float(torch.where(a > 0, a * f, 0.0).sum() + torch.where(b > 0, b * g, 0.0).sum())


X, Y = cloud(80, 3), cloud(12, 3, seed=1) + 0.5
TIGHT = Problem(epsilon=0.3, tolerance=1e-8, dtype="float64")
A, B = (torch.full((n,), 1 / n, dtype=torch.float64) for n in (80, 12))


@pytest.mark.parametrize(
    "kind", [torch.Tensor.numpy, torch.Tensor.tolist, lambda t: pl.DataFrame(t.numpy())], ids=["array", "list", "frame"]
)
def test_any_table_of_numbers_is_a_source_and_a_target(kind) -> None:
    found = solve(kind(X), kind(Y), TIGHT)
    assert found.certificate.dual_value == pytest.approx(dense(X, Y, A, B, 0.3), rel=1e-7)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e8])
def test_any_scale(scale: float) -> None:
    found = solve(scale * X, scale * Y, Problem(epsilon=0.3 * scale**2, tolerance=1e-8, dtype="float64"))
    assert found.certificate.dual_value / scale**2 == pytest.approx(dense(X, Y, A, B, 0.3), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [1e3, 1e4, 1e6])
def test_a_common_offset_moves_neither_the_value_nor_the_bounds(offset: float, dtype: str) -> None:
    certificate = solve(X + offset, Y + offset, Problem(epsilon=0.3, tolerance=1e-5, dtype=dtype)).certificate
    truth = dense(X, Y, A, B, 0.3)
    assert certificate.dual_value == pytest.approx(truth, rel=1e-6)
    assert certificate.primal_upper_bound >= truth - 1e-6


def test_target_points_without_weight_leave_the_bounds_numbers() -> None:
    weights = torch.tensor([1.0] * 6 + [0.0] * 6).double()
    certificate = solve(X, make_sketch(Y, method="all", weights=weights), TIGHT).certificate
    truth = dense(X, Y[:6], A, torch.full((6,), 1 / 6, dtype=torch.float64), 0.3)
    assert certificate.dual_value == pytest.approx(truth, rel=1e-7)
    assert truth - 1e-9 <= certificate.primal_upper_bound <= truth + 1e-5


def test_one_dimension_by_sorting() -> None:
    x, y = cloud(40, 1, seed=2), cloud(40, 1, seed=3)
    exact = float((x.sort(dim=0).values - y.sort(dim=0).values).square().mean() / 2)
    certificate = solve(x, y, Problem(epsilon=1e-3, tolerance=1e-5, dtype="float64")).certificate
    assert exact <= certificate.primal_upper_bound + 1e-9
    assert certificate.dual_value == pytest.approx(exact, abs=1e-3 * np.log(40))


def test_rows_without_weight_do_not_set_the_scale_of_epsilon() -> None:
    far = torch.cat([X, X[:40] + 100])
    weights = torch.cat([torch.ones(80), torch.zeros(40)])
    relative = Problem(epsilon=0.1, epsilon_scale="mean")
    assert solve(far, Y, relative, weights=weights).problem.epsilon == pytest.approx(
        solve(X, Y, relative).problem.epsilon
    )


def test_the_barycentric_map_and_the_rows_of_the_plan() -> None:
    solved = solve(X, Y, TIGHT)
    rows = torch.cat(list(solved.plan_rows(X)))
    expected = torch.softmax((solved.g - torch.cdist(X, Y).square() / 2) / 0.3, dim=1)
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(solved.barycentric_map(X), expected @ Y, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sketch(Y, torch.ones(12)), "the weights of a sketch sum to 12"),
        (lambda: make_sketch(Y, method="k-means"), "method 'k-means' is not known"),
        (lambda: make_sketch(Y, cost="cosine"), "cost 'cosine' is not known"),
        (lambda: solve(X, Y.long()), "dtype torch.int64; expected a floating one"),
        (lambda: solve(X > 0, Y), "dtype torch.bool"),
        (lambda: solve(X, Y, weights=torch.ones(80) > 0), "weights are torch.bool"),
        (lambda: Problem(solver="geomloss", reach=1.0), "relaxes both marginals"),
        (lambda: list(solve(X, Y).plan_rows(torch.full((3, 3), torch.nan))), "point 0 holds NaN"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message: str) -> None:
    with pytest.raises(TransportError, match=message):
        make()
