"""Several targets in lock-step: what one by one gives, for one reading of the source."""

from typing import Any

import numpy as np
import pytest
import torch

from gotd_assets.errors import TransportError
from gotd_assets.transport import Potentials, Problem, Progress, solve, solve_many

PROBLEM = Problem(epsilon=0.05, memory_bytes=0)
N = 12_000


class Counted(np.ndarray):
    """A shard that counts the rows that are read of it."""

    rows = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if isinstance(index, slice):
            Counted.rows += len(found)
        return found


def unit(n: int, seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((n, 16), dtype=np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def targets() -> list[np.ndarray]:
    """The middle one is easy: it is done before the others."""
    return [unit(60, 1), 0.01 * unit(60, 2), unit(60, 3)]


@pytest.fixture(scope="module")
def alone(targets: list[np.ndarray]) -> list[Potentials]:
    return [solve(unit(N, 0), target, PROBLEM) for target in targets]


@pytest.mark.parametrize("threads", [1, 2])
def test_they_are_what_one_by_one_gives_and_the_source_is_read_once_a_pass(targets, alone, threads: int) -> None:
    before = torch.get_num_threads()
    source = unit(N, 0).view(Counted)
    Counted.rows = 0
    try:
        torch.set_num_threads(threads)
        together = solve_many(source, targets, PROBLEM)
    finally:
        torch.set_num_threads(before)
    passes = [solved.certificate.passes for solved in together]
    assert Counted.rows == N * (1 + max(passes))
    assert min(passes) < max(passes)
    for solved, single in zip(together, alone, strict=True):
        # In other coordinates, those of all targets.
        assert solved.certificate.converged
        assert float((solved.g - single.g - (solved.g - single.g).mean()).abs().max()) < 0.05 * PROBLEM.epsilon
        assert solved.certificate.dual_value == pytest.approx(single.certificate.dual_value, rel=1e-5)


def test_targets_of_different_sizes_and_small_sources() -> None:
    few = unit(500, 0)
    for solved, target in zip(
        solve_many(few, [unit(5, 1), unit(90, 2)], PROBLEM), [unit(5, 1), unit(90, 2)], strict=True
    ):
        expected = solve(few, target, PROBLEM).certificate.dual_value
        assert solved.certificate.dual_value == pytest.approx(expected, rel=1e-5)


def test_who_cancels_one_cancels_all(targets) -> None:
    def told(now: Progress) -> None:
        if now.stage == "full pass":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve_many(unit(N, 0), targets, PROBLEM, progress=told)


def test_targets_of_other_dimensions_are_refused() -> None:
    with pytest.raises(TransportError, match="different dimensions"):
        solve_many(unit(100, 0), [unit(5, 1), unit(5, 1)[:, :3]])
