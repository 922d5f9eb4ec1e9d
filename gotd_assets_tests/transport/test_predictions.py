"""What a certificate foretells, beside the optimum itself: dense Newton steps in float64 by the textbook."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from gotd_assets.transport import Problem, make_sketch, solve

D = 16


@dataclasses.dataclass(frozen=True)
class Case:
    x: Tensor
    y: Tensor
    a: Tensor | None = None
    b: Tensor | None = None
    epsilon: float = 0.02
    cost: str = "sqeuclidean"
    reach: float | None = None


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(n: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(n, D, generator=draw(seed)), dim=1)


def grouped(n: int, seed: int, *, law: int | None, spread: float = 0.5, groups: int = 12) -> Tensor:
    """Around `groups` directions, whose shares are drawn by seed `law` or are equal; in the order of groups."""
    shares = torch.ones(groups) if law is None else torch.rand(groups, generator=draw(law)) + 0.05
    own = torch.multinomial(shares, n, replacement=True, generator=draw(seed)).sort().values
    return torch.nn.functional.normalize(unit(groups, 99)[own] + spread * unit(n, seed + 1), dim=1)


def repeated(points: Tensor, originals: int) -> Tensor:
    half = len(points) // 2
    copies = points[torch.randint(0, originals, (half,), generator=draw(3))]
    return torch.cat([points[: len(points) - half], copies])


def hubs(n: int, m: int) -> Case:
    towards = unit(1, 7)
    x = torch.nn.functional.normalize(unit(n, 0) + towards, dim=1)
    y = unit(m, 1)
    y[: m // 20] = 0.1 * y[: m // 20] + 0.7 * towards
    return Case(x, y)


KINDS: dict[str, Callable[[int, int], Case]] = {
    "isotropic": lambda n, m: Case(unit(n, 0), unit(m, 1)),
    "groups in order": lambda n, m: Case(grouped(n, 0, law=1), grouped(m, 5, law=2)),
    "tight groups": lambda n, m: Case(grouped(n, 0, law=1, spread=0.2), grouped(m, 5, law=1, spread=0.2)),
    "equal groups": lambda n, m: Case(grouped(n, 0, law=None, spread=0.3), grouped(m, 5, law=None, spread=0.3)),
    "target weights": lambda n, m: Case(
        grouped(n, 0, law=1), grouped(m, 5, law=2), b=torch.rand(m, generator=draw(4)) ** 4
    ),
    "source weights": lambda n, m: Case(
        grouped(n, 0, law=1), grouped(m, 5, law=2), a=1 / torch.rand(n, generator=draw(4))
    ),
    "duplicates": lambda n, m: Case(repeated(unit(n, 0), 50), repeated(unit(m, 1), 5)),
    "hubs": hubs,
    "norms": lambda n, m: Case(
        grouped(n, 0, law=1) * torch.linspace(0.5, 2, n)[:, None], grouped(m, 5, law=2), epsilon=0.05
    ),
    "fewer rows than targets": lambda n, m: Case(unit(m // 2, 0), unit(m, 1), epsilon=0.05),
    "soft": lambda n, m: Case(unit(n, 0), unit(m, 1), epsilon=0.5),
    "euclidean": lambda n, m: Case(grouped(n, 0, law=1), grouped(m, 5, law=2), cost="euclidean"),
    "reach": lambda n, m: Case(unit(n, 0), unit(m, 1), reach=0.5),
}


def optimum(case: Case) -> tuple[float, Tensor, Tensor]:
    """(value, calibrated scores (n,), shares a (n,)) at a marginal error of 1e-11."""
    x, y, epsilon = case.x.double(), case.y.double(), case.epsilon
    a, b = (
        torch.full((len(p),), 1 / len(p), dtype=torch.float64) if w is None else w.double() / w.double().sum()
        for p, w in ((x, case.a), (y, case.b))
    )
    cost = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    cost = cost.square() / 2 if case.cost == "sqeuclidean" else cost
    rho = None if case.reach is None else (case.reach**2 if case.cost == "sqeuclidean" else case.reach)

    def at(g: Tensor) -> tuple[float, Tensor, Tensor]:
        exponent = (g - cost) / epsilon + b.log()
        f = -epsilon * exponent.logsumexp(1)
        gain = b @ g if rho is None else -rho * (b @ torch.expm1(-g / rho))
        return float(a @ f + gain), f, exponent.softmax(1)

    g, damping = torch.zeros_like(b), 1e-3
    value, f, shares = at(g)
    for _ in range(400):
        wanted = b if rho is None else b * torch.exp(-g / rho)
        gradient = wanted - a @ shares
        if float(gradient.abs().sum()) < 1e-11:
            return value, f - a @ f, a
        weighted = shares * a[:, None]
        hessian = (weighted.sum(0).diag() - shares.T @ weighted) / epsilon
        if rho is not None:
            hessian += (wanted / rho).diag()
        scale = (weighted.sum(0) + b) / epsilon
        step = torch.linalg.solve(hessian + damping * scale.diag(), gradient)
        longest = float(step.abs().max())
        found = at(g + step * min(1.0, 30 * epsilon / longest))
        if found[0] >= value - 1e-15:
            g, damping = g + step * min(1.0, 30 * epsilon / longest), max(damping / 10, 1e-13)
            value, f, shares = found
        else:
            damping *= 20
    raise AssertionError("the optimum was not found")


def asked(case: Case, **changes: object) -> Problem:
    return Problem(**{"epsilon": case.epsilon, "cost": case.cost, "reach": case.reach} | changes)


def overlap(first: Tensor, second: Tensor, share: float) -> float:
    size = max(1, round(share * len(first)))
    top = [set(scores.topk(size, largest=False).indices.tolist()) for scores in (first, second)]
    return len(top[0] & top[1]) / size


def checked(case: Case, near: float) -> None:
    """Foretold to a factor of `near` where less than ε is missing."""
    value, best, a = optimum(case)
    sketch = make_sketch(case.y, method="all", weights=case.b)

    # As it comes: what was asked for holds at the optimum.
    solved = solve(case.x, sketch, asked(case, top_share=0.05), weights=case.a)
    assert solved.certificate.converged
    scores = solved.scores(case.x.double())
    assert float((scores - a @ scores - best).abs().max()) <= 1.2 * case.epsilon
    assert overlap(scores, best, 0.05) >= 0.97

    # On the way there: what is still to come is foretold.
    for tolerance in (1e-1, 1e-2):
        early = solve(
            case.x,
            sketch,
            asked(case, top_share=0.05, tolerance=tolerance, overlap=0.0, score_error=math.inf),
            weights=case.a,
        )
        certificate, scores = early.certificate, early.scores(case.x.double())
        error = float((scores - a @ scores - best).abs().max())
        if certificate.score_error is None:
            continue
        # Beyond the range of a quadratic model a prediction is one of magnitude.
        within = near if error < case.epsilon else 4.0
        if error > 1e-3 * case.epsilon:
            assert error / within <= certificate.score_error <= error * within
        gap = value - certificate.dual_value
        if gap > 1e-4 * case.epsilon:
            assert gap / within <= certificate.newton_gap <= gap * within
        margin = 0.1 if error < case.epsilon else 0.2
        assert certificate.top_share_overlap == pytest.approx(overlap(scores, best, 0.05), abs=margin)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_foretold_comes(kind: str) -> None:
    checked(KINDS[kind](1500, 60), near=1.5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_subsample_foretells_comes(kind: str) -> None:
    # Of 3,600 rows of 12,000: the largest error of all is a little larger.
    checked(KINDS[kind](12_000, 150), near=2.0)


def test_the_optimum_here_is_that_of_pot() -> None:
    import ot

    case = Case(unit(60, 0), unit(20, 1), epsilon=0.1)
    matrix = torch.cdist(case.x.double(), case.y.double()).square().numpy() / 2
    theirs = ot.solve(matrix, reg=0.1, max_iter=5000, tol=1e-12).value
    assert optimum(case)[0] == pytest.approx(float(np.asarray(theirs)), rel=1e-8)
