"""The potential of the source by shard, and draws by it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.errors import TransportError
from gotd_assets.transport import Potentials, PreparedSource, Problem, make_sketch, solve
from gotd_assets.transport.source_potential import SourcePotential
from gotd_assets.transport.workers import Workers

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(sum)


@given(lengths=LENGTHS, data=st.data())
def test_it_is_cut_and_looked_up_as_one_array_is(lengths: list[int], data: st.DataObject) -> None:
    n = sum(lengths)
    f = torch.randn(n, generator=torch.Generator().manual_seed(n))
    asked: list[tuple[int, int]] = []

    def get(begin: int, end: int) -> torch.Tensor:
        asked.append((begin, end))
        return f[begin:end]

    begin, end = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    rows = torch.tensor(sorted(data.draw(st.sets(st.integers(0, n - 1)))), dtype=torch.int64)
    weights = torch.rand(n, dtype=torch.float64)
    for found in (SourcePotential.of(f, lengths), SourcePotential.asked_for(get, lengths)):
        assert len(found) == n
        assert torch.equal(found.rows(begin, end), f[begin:end])
        assert torch.equal(found.take(rows), f[rows])
        assert found.mean(weights) == pytest.approx(float(weights @ f.double()))
        assert np.array_equal(np.asarray(found), f.numpy())
    assert max(last - first for first, last in asked) <= max(lengths)


def test_saved_it_is_a_file_for_each_shard_of_which_rows_are_read_alone(tmp_path: Path) -> None:
    f = torch.arange(10.0)
    SourcePotential.of(f, [4, 0, 6]).save(tmp_path / "p.safetensors")
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"p-f-0000{k}-of-00003.safetensors" for k in (1, 2, 3)]
    found = SourcePotential.saved(tmp_path / "p.safetensors", [4, 0, 6])
    assert found is not None
    assert torch.equal(found.rows(3, 8), f[3:8])
    (tmp_path / "p-f-00003-of-00003.safetensors").write_bytes(b"damaged")
    assert torch.equal(found.rows(0, 4), f[:4])
    with pytest.raises(TransportError, match=r"00003-of-00003\.safetensors cannot be read"):
        found.rows(0, 5)
    (tmp_path / "p-f-00003-of-00003.safetensors").unlink()
    assert SourcePotential.saved(tmp_path / "p.safetensors", [4, 0, 6]) is None


def test_potentials_alone_of_their_files_still_score(tmp_path: Path) -> None:
    points = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    target = make_sketch(torch.randn(20, 4, generator=torch.Generator().manual_seed(1)), method="all")
    solved = solve([points[:100], points[100:]], target, Problem(epsilon=0.2))
    solved.save(tmp_path / "p.safetensors")
    (tmp_path / "p-f-00001-of-00002.safetensors").unlink()
    loaded = Potentials.load(tmp_path / "p.safetensors")
    assert loaded.f is None
    assert torch.equal(loaded.scores(points), solved.scores(points))
    assert loaded.again(points).certificate.converged


def test_rows_are_drawn_as_often_as_their_chances_say() -> None:
    n, draws = 3000, 400
    points = torch.rand(n, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    f = torch.rand(n, generator=torch.Generator().manual_seed(3))
    source = PreparedSource.of([points[:1100], points[1100:]], torch.zeros(2), Problem(dtype="float64"))
    expected = (points[:, 0] * f.double() * 0.4).clamp_max(1.0)
    expected[::100] = 1.0

    def chance(at: torch.Tensor, potential: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        assert torch.all(weights == 1 / n)
        position = torch.searchsorted(order.values, at[:, 0].contiguous())
        assert torch.equal(potential, f[order.indices[position]])
        return expected[order.indices[position]]

    order = points[:, 0].sort()
    counts = torch.zeros(n)
    with Workers(torch.device("cpu")) as workers:
        for seed in range(draws):
            rows, chances = source.drawn(chance, SourcePotential.of(f, [1100, 1900]), 64, seed, workers)
            assert bool((rows.diff() > 0).all())
            assert torch.equal(chances, expected[rows])
            assert abs(len(rows) - float(expected.sum())) <= len(source.parts(64))
            counts[rows] += 1
    deviation = (counts / draws - expected) / (expected * (1 - expected) / draws).sqrt().clamp_min(1e-9)
    assert bool((counts[::100] == draws).all())
    assert float(deviation.abs().max()) < 5
