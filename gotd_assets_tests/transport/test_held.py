"""Potentials are the same to the last bit, whether threads of this process make the passes or workers of an engine."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gotd_assets.errors import ClusterError, TransportError
from gotd_assets.execution.processes import LocalEngine
from gotd_assets.transport import Potentials, Problem, held, make_sketch, solve
from gotd_assets.transport.held import held_source
from gotd_assets.transport.holder import Holder, Share


class Lost:
    """An engine in this process whose workers forget everything every few calls, as when their node is lost."""

    name = "lost"
    is_local = False

    def __init__(self, workers: int, every: int) -> None:
        self.workers = workers
        self._every = every
        self.lost = 0

    def worker(self, function: Callable[[Any], Any], name: str) -> AbstractContextManager[Any]:
        import contextlib
        import copy

        engine, calls = self, [0]
        state = [copy.copy(function)]

        class _Worker:
            def compute(self, item: Any) -> Any:
                calls[0] += 1
                if engine._every and calls[0] % engine._every == 0:
                    engine.lost += 1
                    state[0] = copy.copy(function)
                return state[0](item)

        return contextlib.nullcontext(_Worker())


def unit(n: int, d: int, seed: int) -> torch.Tensor:
    points = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(points, dim=1)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Holders for a source of few rows; those in this process leave it its threads."""
    monkeypatch.setattr(held, "_FEW_ROWS", 1000)
    monkeypatch.setattr(held, "_LEAST_ROWS", 1000)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


X = [unit(5000, 16, 0).half(), unit(70, 16, 3).half(), unit(7000, 16, 4).half()]
Y = make_sketch(unit(50, 16, 1), method="all")


def bytes_of(potentials: Potentials, folder: Path) -> list[tuple[str, bytes]]:
    folder.mkdir(exist_ok=True)
    potentials.save(folder / "potentials.safetensors")
    assert potentials.f is not None
    assert len(list(folder.iterdir())) == 1 + len(potentials.f.lengths)
    return [(file.name, file.read_bytes()) for file in sorted(folder.iterdir())]


@pytest.mark.parametrize(("epsilon", "memory"), [(0.02, 2**31), (0.02, 0), (0.5, 0)], ids=["sharp", "not kept", "soft"])
@pytest.mark.parametrize("weighted", [False, True])
def test_by_any_number_of_holders(epsilon: float, memory: int, weighted: bool, tmp_path: Path) -> None:
    problem = Problem(epsilon=epsilon, memory_bytes=memory)
    weights = torch.rand(12_070, generator=torch.Generator().manual_seed(2)) if weighted else None
    expected = bytes_of(solve(X, Y, problem, weights=weights, debias=weighted), tmp_path / "here")
    for engine in (Lost(1, 0), Lost(3, 2)):
        with held_source(engine, X, Y, problem, weights=weights) as source:
            assert isinstance(source, held.HeldSource)
            assert bytes_of(solve(source, Y, problem, debias=weighted), tmp_path / "held") == expected
    assert engine.lost >= 3


def test_by_processes(tmp_path: Path) -> None:
    problem = Problem(epsilon=0.02)
    expected = bytes_of(solve(X, Y, problem), tmp_path / "here")
    with held_source(LocalEngine(2), X, Y, problem) as source:
        assert bytes_of(solve(source, Y, problem), tmp_path / "held") == expected


def test_a_warm_start_is_the_same(tmp_path: Path) -> None:
    problem = Problem(epsilon=0.02)
    earlier = solve(X, Y, problem)
    earlier.save(tmp_path / "earlier.safetensors")
    loaded = Potentials.load(tmp_path / "earlier.safetensors")
    changed = make_sketch(torch.cat([unit(50, 16, 1)[:45], unit(5, 16, 7)]), method="all")
    expected = bytes_of(solve(X, changed, problem, initial=earlier), tmp_path / "here")
    for workers, initial in ((2, earlier), (3, loaded)):
        with held_source(Lost(workers, 2), X, changed, problem) as source:
            assert bytes_of(solve(source, changed, problem, initial=initial), tmp_path / "held") == expected


def test_the_potential_stays_with_the_workers_and_is_gone_with_them(tmp_path: Path) -> None:
    with held_source(LocalEngine(2), X, Y, Problem(epsilon=0.02)) as source:
        found = solve(source, Y, Problem(epsilon=0.02))
    assert found.f is not None
    with pytest.raises(ClusterError, match="have ended: take from them what is needed before"):
        found.save(tmp_path / "late.safetensors")


def test_a_number_that_is_none_is_told_with_shard_and_row() -> None:
    broken = X[2].clone()
    broken[6123, 5] = torch.nan
    with (
        pytest.raises(TransportError, match="source shard 2, row 6123 holds NaN"),
        held_source(Lost(3, 0), [X[0], X[1], broken], Y),
    ):
        pass


def test_another_target_needs_holders_of_its_own() -> None:
    with held_source(Lost(2, 0), X, Y) as source, pytest.raises(TransportError, match="another target"):
        solve(source, make_sketch(unit(50, 16, 9), method="all"))


def test_holders_have_only_their_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[Share] = []
    original = Holder.__init__

    def kept(self: Holder, share: Share) -> None:
        shares.append(share)
        original(self, share)

    monkeypatch.setattr(Holder, "__init__", kept)
    with held_source(Lost(3, 0), [np.asarray(each) for each in X], Y):
        pass
    assert sum(share.n_rows for share in shares) == 12_070
    assert max(share.n_rows for share in shares) < 8000
    assert sorted({len(share.shards) for share in shares}) == [1, 3]
