"""The curvature that Newton steps go by, and the model it is of, against dense plans in float64."""

import numpy as np
import pytest
import torch

from gotd_assets.transport import PreparedSource, Problem
from gotd_assets.transport.kernel import Kernel
from gotd_assets.transport.semidual import SemiDual
from gotd_assets.transport.workers import Workers

CPU = torch.device("cpu")


def problem(epsilon: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, float]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (
        torch.nn.functional.normalize(torch.randn(n, 64, generator=generator, dtype=torch.float64), dim=1)
        for n in (900, 40)
    )
    return x, y, epsilon


def curvatures(x: torch.Tensor, y: torch.Tensor, epsilon: float, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(exact by the dense plan, of the model of the entries that count)."""
    source = PreparedSource.of(x, torch.zeros(64), Problem(device="cpu", dtype="float64"))
    points = y - source.centre
    with Workers(CPU) as workers:
        oracle = SemiDual(
            source,
            Kernel("sqeuclidean", points),
            torch.full((len(y),), 1 / len(y), dtype=torch.float64),
            epsilon,
            workers,
            rho=None,
            block_rows=128,
            cache_bytes=0,
        )
        _, model = oracle.model(g, oracle.depth(g, 16)[0])
        here = np.zeros(len(y))
        modelled = model.curvature(here, model.value(here)[1])
    plan = torch.softmax((g - torch.cdist(x, y).square() / 2) / epsilon, dim=1) / len(x)
    return plan.sum(0).diag() - len(x) * plan.T @ plan, modelled


def test_large_entries_give_the_hessian_where_couplings_are_sharp() -> None:
    x, y, epsilon = problem(0.004)
    exact, modelled = curvatures(x, y, epsilon, 0.02 * torch.randn(len(y), dtype=torch.float64))
    torch.testing.assert_close(modelled, exact, rtol=0.0, atol=0.02 * float(exact.diagonal().max()))


@pytest.mark.parametrize("epsilon", [0.004, 0.02, 0.2])
def test_it_is_semi_definite_and_blind_to_shifts_of_the_potential(epsilon: float) -> None:
    x, y, epsilon = problem(epsilon, seed=1)
    _, modelled = curvatures(x, y, epsilon, torch.zeros(len(y), dtype=torch.float64))
    torch.testing.assert_close(modelled.sum(dim=1), torch.zeros(len(y), dtype=torch.float64), rtol=0.0, atol=1e-8)
    assert float(torch.linalg.eigvalsh(modelled).min()) > -1e-8


@pytest.mark.parametrize("reach", [None, 1.5])
def test_the_model_is_the_semidual_around_where_it_was_made(reach: float | None) -> None:
    x, y, epsilon = problem(0.01, seed=3)
    b = torch.softmax(torch.randn(len(y), dtype=torch.float64, generator=torch.Generator().manual_seed(1)), 0)
    source = PreparedSource.of(x, torch.zeros(64), Problem(device="cpu", dtype="float64"))
    rho = None if reach is None else reach**2
    with Workers(CPU) as workers:
        oracle = SemiDual(source, Kernel("sqeuclidean", y), b, epsilon, workers, rho=rho, block_rows=128, cache_bytes=0)
        g = 0.02 * torch.randn(len(y), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        here, model = oracle.model(g, 58.0)
        for size in (0.1, 3.0, 20.0):
            delta = size * torch.randn(len(y), dtype=torch.float64, generator=torch.Generator().manual_seed(3)).clamp(
                -2, 2
            )
            there = oracle.evaluate(g + epsilon * delta)
            value, column = model.value(delta.numpy())
            value -= model.value(np.zeros(len(y)))[0]
            assert value == pytest.approx((there.value - here.value) / epsilon, rel=1e-6, abs=1e-9)
            np.testing.assert_allclose(column, there.column.numpy(), atol=1e-9)


def test_soft_couplings_are_told_apart() -> None:
    x, y, epsilon = problem(0.2, seed=2)
    source = PreparedSource.of(x, torch.zeros(64), Problem(device="cpu", dtype="float64"))
    with Workers(CPU) as workers:
        b = torch.full((len(y),), 1 / len(y), dtype=torch.float64)
        oracle = SemiDual(
            source, Kernel("sqeuclidean", y), b, epsilon, workers, rho=None, block_rows=128, cache_bytes=0
        )
        _, share = oracle.depth(torch.zeros(len(y), dtype=torch.float64), 8)
    assert share < 0.8
