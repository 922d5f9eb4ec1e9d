"""Potentials are the same to the last bit on any number of threads, and however the memory is."""

import pytest
import torch

from gotd_assets.transport import Problem, make_sketch, solve


def unit(n: int, d: int, seed: int) -> torch.Tensor:
    points = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(points, dim=1)


@pytest.mark.parametrize("epsilon", [0.01, 0.5], ids=["sharp", "soft"])
@pytest.mark.parametrize("weighted", [False, True])
def test_on_one_thread_and_on_three(epsilon: float, weighted: bool) -> None:
    x = [unit(5000, 16, 0), unit(70, 16, 3), unit(7000, 16, 4)]
    y = make_sketch(unit(50, 16, 1), method="all")
    weights = torch.rand(12_070, generator=torch.Generator().manual_seed(2)) if weighted else None
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(solve(x, y, Problem(epsilon=epsilon), weights=weights))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0].certificate.subsample_rows > 0
    assert torch.equal(found[0].g, found[1].g)
    assert found[0].certificate == found[1].certificate
