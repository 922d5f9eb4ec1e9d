"""The transport benchmark's problems, and the independent judge of what a solver found.

Isotropic: N standard normal vectors of dimension 384 scaled to unit norm, against M of the same law. Clustered, closer to
text: a hundred clusters in ten topics, whose shares differ between source and target, with most of the spread inside a
cluster in a few dozen directions; as it is, with rows in order of topic, and with uneven weights of the target. Cost
½‖x−y‖², ε = 0.0025 (blur 0.05), weights uniform but for the last.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from gotd_assets.artifacts.atomic import replaced

DIMENSION = 384
EPSILON = 0.0025
BLOCK = 2048
PROBLEMS = ("isotropic", "clustered", "clustered, in order", "clustered, weights u⁴")
CLUSTERS, TOPICS, DIRECTIONS = 100, 10, 48


def unit_vectors(n: int, seed: int) -> np.ndarray[Any, Any]:
    """(n, 384) float32 of unit norm."""
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(n: int, seed: int, shares: int) -> np.ndarray[Any, Any]:
    """(n, 384) float32 of unit norm in clusters, whose shares are drawn from a flat Dirichlet law by seed `shares`."""
    topics = unit_vectors(TOPICS, 54321)[np.arange(CLUSTERS) % TOPICS]
    centres = 0.8 * unit_vectors(CLUSTERS, 12345) + 0.6 * topics
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    draw = np.random.default_rng(seed)
    own = draw.choice(CLUSTERS, n, p=np.random.default_rng(shares).dirichlet(np.ones(CLUSTERS)))
    basis = np.random.default_rng(7).standard_normal((DIRECTIONS, DIMENSION), dtype=np.float32) / math.sqrt(DIMENSION)
    scales = np.linspace(1, 0.2, DIRECTIONS, dtype=np.float32)
    inside = draw.standard_normal((n, DIRECTIONS), dtype=np.float32) * (0.8 * scales / np.linalg.norm(scales)) @ basis
    noise = draw.standard_normal((n, DIMENSION), dtype=np.float32) * (0.3 / math.sqrt(DIMENSION))
    vectors = centres[own] + inside + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_topic(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The order (n,) of the coordinate in which `x` varies most, as a pool is in order of its sources."""
    return np.argsort(x[:, int(np.argmax(x[:2000].var(axis=0)))], kind="stable")


def uneven(m: int, power: int) -> np.ndarray[Any, Any]:
    """(m,) weights u^power of uniform u."""
    return np.random.default_rng(5).random(m) ** power


def targets(problem: str, m: int, seed: int = 1) -> np.ndarray[Any, Any]:
    """The (m, 384) target points."""
    return unit_vectors(m, seed) if problem == "isotropic" else clustered(m, seed, shares=2)


def target_weights(problem: str, m: int) -> np.ndarray[Any, Any]:
    """Their (m,) weights, which sum to 1."""
    weights = uneven(m, 4) if "weights" in problem else np.ones(m)
    return weights / weights.sum()


def source_file(directory: Path, problem: str, n: int) -> Path:
    """The source as a memory-mappable file, written once in blocks."""
    kind = "clustered" if "weights" in problem else problem
    path = directory / f"{kind.replace(', ', '-').replace(' ', '-')}-{n}.npy"
    if path.exists():
        return path
    shuffled = order = None
    if kind == "clustered, in order":
        shuffled = np.load(source_file(directory, "clustered", n), mmap_mode="r")
        order = by_topic(shuffled)
    with replaced(path) as partial:
        out = np.lib.format.open_memmap(partial, "w+", np.float32, (n, DIMENSION))
        for block, start in enumerate(range(0, n, 100_000)):
            size, seed = min(100_000, n - start), 1000 + block
            if shuffled is not None and order is not None:
                points = shuffled[order[start : start + size]]
            else:
                points = unit_vectors(size, seed) if kind == "isotropic" else clustered(size, seed, 1)
            out[start : start + size] = points
        out.flush()
    return path


def judge(
    x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], b: np.ndarray[Any, Any], g: np.ndarray[Any, Any]
) -> tuple[float, float]:
    """H(g) and the marginal error of `g` for target weights `b`, by textbook log-sum-exp in float64."""
    import torch

    targets, weights = torch.from_numpy(y).double(), torch.from_numpy(b)
    bias = torch.from_numpy(g).double() / EPSILON + weights.log()
    column, total = torch.zeros(len(y), dtype=torch.float64), 0.0
    for start in range(0, len(x), BLOCK):
        rows = torch.from_numpy(np.array(x[start : start + BLOCK])).double()
        cost = 0.5 * (rows.square().sum(1)[:, None] + targets.square().sum(1)) - rows @ targets.T
        exponent = bias - cost / EPSILON
        normaliser = exponent.logsumexp(1)
        total -= EPSILON * float(normaliser.sum())
        column += (exponent - normaliser[:, None]).exp_().sum(0)
    return total / len(x) + float(g @ b), float((column / len(x) - weights).abs().sum())
