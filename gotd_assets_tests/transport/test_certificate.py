"""The certificate that the last pass of a solve is, against dense plans in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.transport import PreparedSource, Problem, make_sketch, solve
from gotd_assets.transport.kernel import CostName, Kernel
from gotd_assets.transport.semidual import SemiDual
from gotd_assets.transport.workers import Workers

CPU = torch.device("cpu")


def bounds(
    x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, g: torch.Tensor, cost: CostName, epsilon: float
) -> tuple[float, float]:
    """Dual value and upper bound by one pass."""
    source = PreparedSource.of(x, b @ y, Problem(device="cpu", dtype="float64"), weights=a)
    with Workers(CPU) as workers:
        oracle = SemiDual(
            source, Kernel(cost, y - source.centre), b, epsilon, workers, rho=None, block_rows=16, cache_bytes=0
        )
        evaluation = oracle.evaluate(g)
        return evaluation.value, oracle.upper_bound(g, evaluation)


def cost_matrix(x: torch.Tensor, y: torch.Tensor, cost: CostName) -> torch.Tensor:
    distance = (x[:, None] - y[None]).norm(dim=2)
    return distance.square() / 2 if cost == "sqeuclidean" else distance


def rounded_plan(plan: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Algorithm 2 of Altschuler, Weed & Rigollet 2017 by the book, and the mass it adds."""
    plan = plan * (b / plan.sum(0).clamp_min(1e-300)).clamp_max(1.0)
    rows, columns = (a - plan.sum(1)).clamp_min(0.0), (b - plan.sum(0)).clamp_min(0.0)
    mass = float(columns.sum())
    return (plan + torch.outer(rows, columns) / mass if mass > 1e-14 else plan), mass


@given(
    seed=st.integers(0, 10_000),
    cost=st.sampled_from(["sqeuclidean", "euclidean"]),
    epsilon=st.sampled_from([0.02, 0.1, 1.0]),
    off=st.sampled_from([0.0, 1e-3, 0.1, 3.0]),
    shift=st.sampled_from([0.0, 20.0]),
)
def test_the_bounds_hold_the_cost_of_the_rounded_plan_closely(
    seed: int, cost: CostName, epsilon: float, off: float, shift: float
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, y = draw(40, 3) + shift, 0.7 * draw(9, 3) + shift
    a, b = torch.softmax(draw(40), 0), torch.softmax(draw(9), 0)
    matrix, g = cost_matrix(x, y, cost), torch.zeros(9, dtype=torch.float64)
    for _ in range(200):
        f = -epsilon * torch.logsumexp((g - matrix) / epsilon + b.log(), 1)
        g = -epsilon * torch.logsumexp((f[:, None] - matrix) / epsilon + a.log()[:, None], 0)
    g = g + off * draw(9)
    f = -epsilon * torch.logsumexp((g - matrix) / epsilon + b.log(), 1)
    product = torch.outer(a, b)
    plan, mass = rounded_plan(product * torch.exp((f[:, None] + g - matrix) / epsilon), a, b)
    entropic_cost = float((plan * matrix).sum() + epsilon * torch.xlogy(plan, plan / product).sum())

    value, upper = bounds(x, y, a, b, g, cost, epsilon)
    assert value <= entropic_cost + 1e-9
    assert upper >= entropic_cost - 1e-9
    # What is added is bounded, not known: it costs at most the largest cost, and its entropy is that of μ and its shares.
    radius = float((x - b @ y).norm(dim=1).max() + (y - b @ y).norm(dim=1).max())
    slack = (radius**2 if cost == "sqeuclidean" else 2 * radius) + epsilon * (3 - float(a.min().log() + b.min().log()))
    assert upper <= entropic_cost + mass * slack + 2 * epsilon * np.sqrt(mass) + 1e-9


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_the_gap_closes_with_the_marginal_error(cost: CostName) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 8, generator=generator) for n in (6000, 40))
    sketch, gaps = make_sketch(y, method="all"), []
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-4):
        certificate = solve(x, sketch, Problem(cost=cost, epsilon=0.2, tolerance=tolerance)).certificate
        assert certificate.gap <= 10 * certificate.marginal_error
        gaps.append(certificate.gap)
    assert gaps[-1] < 1e-3 * certificate.dual_value


def textbook_error(x: torch.Tensor, y: torch.Tensor, g: torch.Tensor, epsilon: float) -> float:
    plan = torch.softmax((g - torch.cdist(x.double(), y.double()).square() / 2) / epsilon, dim=1) / len(x)
    return float((plan.sum(0) - 1 / len(y)).abs().sum())


@pytest.mark.parametrize("budget", [0, 2**30], ids=["no cache", "cache"])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
def test_the_marginal_error_said_is_that_of_exact_couplings(budget: int, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.nn.functional.normalize(torch.randn(n, 16, generator=generator), dim=1) for n in (60_000, 30))
    solved = solve(x, make_sketch(y, method="all"), Problem(epsilon=0.01, tolerance=tolerance, memory_bytes=budget))
    assert solved.certificate.cached == (budget > 0)
    assert solved.certificate.converged
    assert solved.certificate.marginal_error == pytest.approx(textbook_error(x, y, solved.g, 0.01), abs=3e-6)


def test_giving_up_with_reduced_products_is_certified_exactly_too() -> None:
    generator = torch.Generator().manual_seed(2)
    x, y = (torch.nn.functional.normalize(torch.randn(n, 16, generator=generator), dim=1) for n in (60_000, 30))
    asked = Problem(epsilon=0.01, tolerance=1e-9, max_passes=2, products="reduced")
    solved = solve(x, make_sketch(y, method="all"), asked)
    assert not solved.certificate.converged
    assert solved.certificate.marginal_error == pytest.approx(textbook_error(x, y, solved.g, 0.01), abs=3e-6)


def test_potentials_that_solve_the_problem_are_certified_by_one_pass() -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.randn(n, 8, generator=generator) for n in (20_000, 50))
    sketch = make_sketch(y, method="all")
    tight = solve(x, sketch, Problem(epsilon=0.2, tolerance=1e-4))
    assert solve(x, sketch, Problem(epsilon=0.2, tolerance=1e-2), initial=tight).certificate.passes == 1
