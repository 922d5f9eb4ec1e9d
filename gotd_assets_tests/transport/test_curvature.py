"""The curvature that Newton steps go by, against the Hessian of a dense plan in float64."""

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


def curvatures(
    x: torch.Tensor, y: torch.Tensor, epsilon: float, g: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """(exact by the dense plan, from large entries, share of the mass kept)."""
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
        _, sharp, kept = oracle.sharp_curvature(g)
    plan = torch.softmax((g - torch.cdist(x, y).square() / 2) / epsilon, dim=1) / len(x)
    return plan.sum(0).diag() - len(x) * plan.T @ plan, sharp, kept


def test_large_entries_give_the_hessian_where_couplings_are_sharp() -> None:
    x, y, epsilon = problem(0.004)
    exact, sharp, kept = curvatures(x, y, epsilon, 0.02 * torch.randn(len(y), dtype=torch.float64))
    assert kept > 0.99
    torch.testing.assert_close(sharp, exact, rtol=0.0, atol=0.02 * float(exact.diagonal().max()))


@pytest.mark.parametrize("epsilon", [0.004, 0.02, 0.2])
def test_it_is_semi_definite_and_blind_to_shifts_of_the_potential(epsilon: float) -> None:
    x, y, epsilon = problem(epsilon, seed=1)
    _, sharp, _ = curvatures(x, y, epsilon, torch.zeros(len(y), dtype=torch.float64))
    torch.testing.assert_close(sharp.sum(dim=1), torch.zeros(len(y), dtype=torch.float64), rtol=0.0, atol=1e-12)
    assert float(torch.linalg.eigvalsh(sharp).min()) > -1e-12


def test_soft_couplings_are_told_apart() -> None:
    x, y, epsilon = problem(0.2, seed=2)
    *_, kept = curvatures(x, y, epsilon, torch.zeros(len(y), dtype=torch.float64))
    assert kept < 0.5
