"""Sketches keep mass and mean, say what they lose, and refuse what cannot be sketched."""

import numpy as np
import ot
import pytest
import torch

from gotd_assets.errors import TransportError
from gotd_assets.settings.transport import SketchSettings
from gotd_assets.transport import Sketch, make_sketch


def cloud(n: int, d: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("method", ["random", "kmeans"])
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_the_error_bounds_the_exact_transport_cost(method: str, cost: str) -> None:
    points = cloud(120)
    sketch = make_sketch(points, method=method, size=15, cost=cost)
    distance = torch.cdist(points.double(), sketch.points.double()).numpy()
    matrix = distance**2 / 2 if cost == "sqeuclidean" else distance
    exact = ot.emd2(np.full(120, 1 / 120), sketch.weights.numpy(), matrix)
    assert exact == pytest.approx(sketch.error, rel=1e-5)
    assert float(sketch.weights.sum()) == pytest.approx(1.0)


def test_kmeans_loses_less_than_random_and_more_points_lose_less() -> None:
    points = cloud(500)
    error = {(m, k): make_sketch(points, method=m, size=k).error for m in ("random", "kmeans") for k in (10, 100)}
    assert error["kmeans", 10] < error["random", 10]
    assert error["kmeans", 100] < error["kmeans", 10]


def test_weights_are_respected() -> None:
    points = torch.tensor([[0.0], [0.1], [10.0]])
    sketch = make_sketch(points, method="kmeans", size=2, weights=torch.tensor([1.0, 1.0, 2.0]))
    order = sketch.points[:, 0].argsort()
    np.testing.assert_allclose(sketch.weights[order], [0.5, 0.5])
    np.testing.assert_allclose(sketch.points[order, 0], [0.05, 10.0], atol=1e-5)


def test_a_tolerance_chooses_the_size() -> None:
    points = cloud(400)
    coarse, fine = (make_sketch(points, tolerance=tolerance) for tolerance in (1.0, 0.2))
    assert coarse.error <= 1.0
    assert fine.error <= 0.2
    assert len(coarse.points) < len(fine.points) < 400
    assert make_sketch(points, tolerance=1e-9).method == "all"


def test_few_points_are_all_kept() -> None:
    sketch = make_sketch(cloud(5), size=100)
    assert sketch.method == "all"
    assert torch.equal(sketch.points, cloud(5))


def test_saving(tmp_path) -> None:
    sketch = make_sketch(cloud(50), size=10)
    sketch.save(tmp_path / "s.safetensors")
    loaded = Sketch.load(tmp_path / "s.safetensors")
    assert torch.equal(loaded.points, sketch.points)
    assert (loaded.method, loaded.error) == (sketch.method, sketch.error)
    (tmp_path / "s.safetensors").write_bytes(b"not one")
    with pytest.raises(TransportError, match="cannot be read"):
        Sketch.load(tmp_path / "s.safetensors")


def test_nan_and_emptiness_are_refused() -> None:
    points = cloud(5)
    points[3, 1] = float("nan")
    with pytest.raises(TransportError, match="target row 3"):
        make_sketch(points)
    with pytest.raises(TransportError, match="at least one point"):
        make_sketch(torch.empty(0, 3))


@pytest.mark.parametrize(
    ("settings", "documents", "points"),
    [({}, 1500, 1500), ({"size": 200}, 480, 480), ({}, 2001, 1000), ({"size": 200, "whole_up_to": 0}, 480, 200),
     ({"method": "random", "size": 200}, 480, 200)],
)  # fmt: skip
def test_a_small_target_is_taken_whole(settings: dict[str, object], documents: int, points: int) -> None:
    asked = SketchSettings(**settings).points(documents)
    sketch = make_sketch(torch.randn(documents, 2), method=SketchSettings(**settings).method, size=asked)
    assert len(sketch.weights) == points
