"""`solve_sample` beside POT, and its gradients beside finite differences and a Sinkhorn loop of its own."""

import math

import numpy as np
import ot
import polars as pl
import pytest
import torch

from gotd_assets.errors import TransportError
from gotd_assets.transport import solve_sample

TIGHT = 1e-9


def cloud(n: int, d: int = 2, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def mass(n: int, seed: int) -> torch.Tensor:
    return torch.softmax(torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), 0)


def sinkhorn(
    x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, metric: str, reg: float, rho: float = math.inf
) -> tuple[float, torch.Tensor]:
    """Value and plan by the textbook's loop in the log domain."""
    distance = (x[:, None] - y[None]).norm(dim=2)
    cost = distance.square() if metric == "sqeuclidean" else distance
    g = torch.zeros_like(b)
    damped = 1.0 if rho == math.inf else rho / (rho + reg)
    for _ in range(3000):
        f = -reg * torch.logsumexp(b.log() + (g - cost) / reg, 1)
        g = -damped * reg * torch.logsumexp(a.log()[:, None] + (f[:, None] - cost) / reg, 0)
    f = -reg * torch.logsumexp(b.log() + (g - cost) / reg, 1)
    plan = a[:, None] * b * torch.exp((f[:, None] + g - cost) / reg)
    column = plan.sum(0)
    value = float((plan * cost).sum() + reg * (plan * (plan / (a[:, None] * b)).log()).sum())
    if rho < math.inf:
        value += rho * float((column * (column / b).log() - column + b).sum())
    return value, plan


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
def test_value_plan_and_potentials_are_those_of_pot(metric: str) -> None:
    x, y, a, b = cloud(30), cloud(12, seed=1, shift=0.5), mass(30, 2), mass(12, 3)
    ours = solve_sample(x, y, a, b, metric=metric, reg=0.7, tol=TIGHT)
    theirs = ot.solve_sample(x, y, a, b, metric=metric, reg=0.7, max_iter=5000, tol=1e-12)
    assert ours.status == "converged"
    assert float(ours.value) == pytest.approx(float(theirs.value), rel=1e-7)
    assert ours.value_linear == pytest.approx(float(theirs.value_linear), rel=1e-6)
    torch.testing.assert_close(ours.plan, theirs.plan, rtol=1e-5, atol=1e-9)
    f, g = ours.potentials
    distance = (x[:, None] - y[None]).norm(dim=2)
    cost = distance.square() if metric == "sqeuclidean" else distance
    by_potentials = a[:, None] * b * torch.exp((f[:, None] + g - cost) / 0.7)
    torch.testing.assert_close(by_potentials, theirs.plan, rtol=1e-5, atol=1e-9)
    for mine, of_pot in zip(ours.marginals, theirs.marginals, strict=True):
        torch.testing.assert_close(mine, of_pot, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
def test_the_targets_marginal_alone_is_relaxed(metric: str) -> None:
    x, y, a, b = cloud(25), cloud(9, seed=1, shift=1.0), mass(25, 2), mass(9, 3)
    value, plan = sinkhorn(x, y, a, b, metric, 0.5, rho=0.8)
    ours = solve_sample(x, y, a, b, metric=metric, reg=0.5, unbalanced=(math.inf, 0.8), tol=TIGHT)
    assert float(ours.value) == pytest.approx(value, rel=1e-7)
    torch.testing.assert_close(ours.plan, plan, rtol=1e-5, atol=1e-9)


def test_rows_of_the_plan_come_as_they_are_asked_for() -> None:
    x, y = cloud(50), cloud(8, seed=1)
    found = solve_sample(x.numpy(), y.numpy(), reg=0.5)
    lazy, whole = found.lazy_plan, found.plan
    assert lazy.shape == (50, 8)
    torch.testing.assert_close(lazy[7], whole[7])
    torch.testing.assert_close(lazy[-1], whole[-1])
    torch.testing.assert_close(lazy[10:20, 3], whole[10:20, 3])
    torch.testing.assert_close(lazy[np.array([4, 2])], whole[[4, 2]])
    torch.testing.assert_close(torch.cat(list(lazy.blocks())), whole)
    assert isinstance(found.potential_a, np.ndarray)
    assert "50 × 8" in repr(found)


@pytest.mark.parametrize("kind", ["tensor", "array", "frame", "lists", "dlpack"])
def test_anything_that_is_a_table_of_numbers_is_taken(kind: str) -> None:
    class Exchanged:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor

        def __dlpack__(self, **options: object) -> object:
            return self.tensor.__dlpack__(**options)

        def __dlpack_device__(self) -> object:
            return self.tensor.__dlpack_device__()

    taken = {
        "tensor": lambda points: points,
        "array": lambda points: points.numpy(),
        "frame": lambda points: pl.DataFrame(points.numpy()),
        "lists": lambda points: points.tolist(),
        "dlpack": Exchanged,
    }[kind]
    x, y = cloud(20), cloud(5, seed=1)
    expected, _ = sinkhorn(x, y, torch.full((20,), 0.05).double(), torch.full((5,), 0.2).double(), "sqeuclidean", 0.5)
    assert float(solve_sample(taken(x), taken(y), reg=0.5, tol=1e-7).value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize("unbalanced", [None, (math.inf, 0.9)], ids=["balanced", "unbalanced"])
def test_gradients_are_those_of_finite_differences(metric: str, unbalanced: tuple[float, float] | None) -> None:
    x, y, a, b = (v.requires_grad_() for v in (cloud(6), cloud(4, seed=1, shift=0.3), mass(6, 2), 3 * mass(4, 3)))

    def value(*inputs: torch.Tensor) -> torch.Tensor:
        return solve_sample(*inputs, metric=metric, reg=0.6, unbalanced=unbalanced, tol=1e-11).value

    assert torch.autograd.gradcheck(value, (x, y, a, b), eps=1e-5, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_gradients_are_those_of_pots_envelope() -> None:
    inputs = [(cloud(15).requires_grad_(), cloud(6, seed=1, shift=0.3).requires_grad_()) for _ in range(2)]
    (3 * solve_sample(*inputs[0], reg=0.6, tol=TIGHT).value).backward()
    (3 * ot.solve_sample(*inputs[1], reg=0.6, grad="envelope", max_iter=5000, tol=1e-12).value).backward()
    for ours, theirs in zip(*inputs, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)


def test_a_weight_of_zero_has_a_gradient_too() -> None:
    x, y, a = cloud(6), cloud(4, seed=1), mass(6, 2)
    a[1] = 0
    b = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64)
    a.requires_grad_(), b.requires_grad_()

    def value(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return solve_sample(x, y, a, b, reg=0.6, tol=1e-11).value

    value(a, b).backward()
    for weights, other in ((a, lambda moved: value(moved, b)), (b, lambda moved: value(a, moved))):
        for place in (weights.detach() == 0).nonzero()[:, 0].tolist():
            moved = weights.detach().clone()
            moved[place] += 1e-6
            slope = (float(other(moved).detach()) - float(value(a, b).detach())) / 1e-6
            assert float(weights.grad[place]) == pytest.approx(slope, abs=1e-4)


def test_what_it_does_not_solve_is_refused() -> None:
    x, y = cloud(5), cloud(3)
    for changes, message in (
        ({}, "reg is None"),
        ({"reg": -1.0}, "reg is -1.0"),
        ({"reg": 0.5, "unbalanced": 1.0}, r"unbalanced=\(inf, 1\)"),
        ({"reg": 0.5, "unbalanced": (2.0, math.inf)}, "target's marginal alone"),
        ({"reg": 0.5, "unbalanced": (math.inf, -1)}, "unbalanced is -1"),
        ({"reg": 0.5, "metric": "cosine"}, "cosine"),
    ):
        with pytest.raises(TransportError, match=message):
            solve_sample(x, y, **changes)
    with pytest.raises(TransportError, match="sequence of 2 arrays"):
        solve_sample([x, x], y, reg=0.5)


def test_a_plan_that_would_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = solve_sample(cloud(50), cloud(8, seed=1), reg=0.5)
    monkeypatch.setattr("gotd_assets.transport.sample._LARGEST_PLAN_BYTES", 3000)
    with pytest.raises(TransportError, match="50 × 8 takes"):
        found.plan  # noqa: B018
