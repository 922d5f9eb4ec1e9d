"""The domain relevance test, against exact transport."""

from pathlib import Path

import numpy as np
import ot
import pytest

from gotd_assets.errors import InputError
from gotd_assets.selection.relevance import as_frame, relevant_sources, source_distances
from gotd_assets.transport import Problem, make_sketch
from gotd_assets_tests.selection.pools import make_pool


def sources(folder: Path, size: int = 120):
    rng = np.random.default_rng(0)
    vectors = {
        name: rng.standard_normal((size, 4)) * 0.4 + shift for name, shift in (("far", 3), ("near", 0.2), ("mid", 1))
    }
    pool = make_pool(folder, {name: ([f"{name} {i}" for i in range(size)], rows) for name, rows in vectors.items()})
    return pool, vectors, rng.standard_normal((40, 4)).astype(np.float32) * 0.4


def test_distances_are_those_of_exact_transport(tmp_path: Path) -> None:
    pool, vectors, target = sources(tmp_path)
    found = source_distances(
        pool, make_sketch(target, method="all"), Problem(epsilon=0.005, tolerance=1e-3), sample=1000
    )
    assert [entry.source for entry in found] == ["near", "mid", "far"]
    for entry in found:
        cost = 0.5 * ((vectors[entry.source][:, None] - target[None]) ** 2).sum(-1)
        exact = ot.emd2(np.full(120, 1 / 120), np.full(40, 1 / 40), cost)
        assert entry.distance == pytest.approx(exact, rel=0.02, abs=0.02)
        assert (entry.sampled, entry.candidates) == (120, 120)
    assert as_frame(found)["distance"].is_sorted()


def test_a_sample_is_enough_and_repeats(tmp_path: Path) -> None:
    pool, _, target = sources(tmp_path, 600)
    sketch = make_sketch(target, method="all")
    whole = source_distances(pool, sketch, Problem(), sample=600)
    part = source_distances(pool, sketch, Problem(), sample=200)
    assert part == source_distances(pool, sketch, Problem(), sample=200)
    assert [entry.source for entry in part] == [entry.source for entry in whole]
    assert [entry.sampled for entry in part] == [200] * 3
    for small, large in zip(part, whole, strict=True):
        assert small.distance == pytest.approx(large.distance, rel=0.1, abs=0.03)


def test_the_nearest_are_kept_and_away_the_farthest() -> None:
    distances = {"a": 3.0, "b": 1.0, "c": 2.0}
    assert relevant_sources(distances, 2) == ["b", "c"]
    assert relevant_sources(distances, 1, away=True) == ["a"]
    assert relevant_sources(distances, None) == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"selection\.nearest_sources is 4, but only 3"):
        relevant_sources(distances, 4)
