"""A measure as a few weighted points, and how much that loses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.arrays import as_shard, as_tensor, shard_list
from gotd_assets.transport.files import read_tensors, write_tensors
from gotd_assets.transport.kernel import CostName
from gotd_assets.transport.source import Shards
from gotd_assets.transport.weights import Weights, normalised_weights

SketchMethod: TypeAlias = Literal["all", "random", "kmeans"]
_CPU = torch.device("cpu")
_SMALLEST_SEARCH = 16
_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """Weighted points that stand for a measure.

    Attributes:
        points: (M, D) float32, or float64 if that is what came.
        weights: (M,) float64, summing to 1.
        method: how the points were chosen.
        error: mean transport cost of moving every point of the measure to the sketch point that represents it, in
            units of the cost; an upper bound on the OT cost between measure and sketch. None if not measured.

    Raises:
        TransportError: there is not one weight to a point, or weights do not sum to 1.
    """

    points: Tensor
    weights: Tensor
    method: SketchMethod = "all"
    error: float | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or len(self.points) != len(self.weights) or not len(self.points):
            raise TransportError(
                f"a sketch of points of shape {tuple(self.points.shape)} and {len(self.weights)} weights: (M, D) and (M,) "
                "are expected"
            )
        total = float(self.weights.sum())
        if not abs(total - 1) <= _ROUNDING:
            raise TransportError(
                f"the weights of a sketch sum to {total:.6g}: divide them by their sum, or use make_sketch"
            )

    @property
    def centre(self) -> Tensor:
        """(D,) float64, the mean."""
        return self.weights @ self.points.double()

    def save(self, path: Path) -> None:
        """Write the sketch to a safetensors file at `path`."""
        facts = {"method": self.method, "error": self.error}
        write_tensors(path, {"points": self.points, "weights": self.weights}, {"sketch": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path) -> Sketch:
        """Read what `save` wrote.

        Raises:
            TransportError: the file is missing or is not a sketch.
        """
        tensors, metadata = read_tensors(path)
        try:
            return cls(tensors["points"], tensors["weights"], **json.loads(metadata["sketch"]))
        except (KeyError, TypeError, ValueError) as error:
            raise TransportError(f"{path} is not a sketch file of this version: {error}") from error


def make_sketch(
    vectors: Shards,
    *,
    method: SketchMethod = "kmeans",
    size: int = 1000,
    tolerance: float | None = None,
    weights: Weights | None = None,
    cost: CostName = "sqeuclidean",
    seed: int = 0,
) -> Sketch:
    """Sketch the measure of `vectors` ((n, D), or shards of that shape) with `weights` (n,), uniform by default.

    Args:
        vectors: the measure's points.
        method: 'kmeans' moves every point to the nearest of `size` centroids, which carry the weight of their cluster;
            'random' draws `size` points without replacement, by weight, and lets each stand for its cell; 'all' keeps
            every point.
        size: number of points, at most n.
        tolerance: instead of `size`, the least size (doubling from 16) whose error is at most this.
        weights: of the points.
        cost: cost in whose units the error is measured.
        seed: of the draw.

    Raises:
        TransportError: no points, shapes that differ, NaN, or wrong weights.
    """
    for name, value, words in (("method", method, get_args(SketchMethod)), ("cost", cost, get_args(CostName))):
        if value not in words:
            raise TransportError(f"{name} {value!r} is not known: use {' or '.join(map(repr, words))}")
    shards = [as_shard(shard) for shard in shard_list(vectors)]
    double = any(shard.dtype in (torch.float64, np.dtype("float64")) for shard in shards)
    dtype = torch.float64 if double else torch.float32
    points = torch.cat([as_tensor(shard, _CPU, dtype) for shard in shards] or [torch.empty(0, 1)])
    if points.ndim != 2 or len(points) == 0:
        raise TransportError("a target needs at least one point to be sketched")
    bad = ~torch.isfinite(points).all(dim=1)
    if bool(bad.any()):
        raise TransportError(f"target row {int(bad.nonzero()[0, 0])} holds NaN or an infinity: remove that vector")
    mass = normalised_weights(weights, len(points), "target")
    if method == "all" or (tolerance is None and size >= len(points)):
        return Sketch(points, mass, "all", 0.0)
    if size < 1:
        raise TransportError(f"a sketch needs at least one point, got size {size}")
    if tolerance is None:
        return _sketch(points, mass, method, size, cost=cost, seed=seed)
    size = _SMALLEST_SEARCH
    while size < len(points):
        sketch = _sketch(points, mass, method, size, cost=cost, seed=seed)
        if sketch.error is not None and sketch.error <= tolerance:
            return sketch
        size *= 2
    return Sketch(points, mass, "all", 0.0)


def _sketch(points: Tensor, mass: Tensor, method: SketchMethod, size: int, *, cost: CostName, seed: int) -> Sketch:
    if method == "kmeans":
        centroids = _centroids(points, mass, size, seed)
    else:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.multinomial(mass, min(size, int((mass > 0).sum())), generator=generator)
        centroids = points[chosen.sort().values]
    nearest, squared = _nearest(points, centroids)
    weights = torch.zeros(len(centroids), dtype=torch.float64).index_add_(0, nearest, mass)
    used = weights > 0
    moved = squared.mul(0.5) if cost == "sqeuclidean" else squared.sqrt()
    return Sketch(centroids[used], weights[used] / weights.sum(), method, float(mass @ moved))


def _centroids(points: Tensor, mass: Tensor, size: int, seed: int) -> Tensor:
    import faiss

    kmeans = faiss.Kmeans(
        points.shape[1], size, niter=25, seed=seed, min_points_per_centroid=1, max_points_per_centroid=10_000_000
    )
    kmeans.train(points.float().numpy(), weights=(mass * len(mass)).float().numpy())
    centroids = torch.from_numpy(np.array(kmeans.centroids, dtype=np.float32))
    return centroids.to(points.dtype)


def _nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    indices, squared = [], []
    for begin in range(0, len(points), 8192):
        block = points[begin : begin + 8192]
        index = torch.cdist(block, centroids).argmin(dim=1)
        indices.append(index)
        squared.append((block.double() - centroids[index].double()).square().sum(dim=1))
    return torch.cat(indices), torch.cat(squared)
