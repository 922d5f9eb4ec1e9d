"""The transport benchmark's problems, and the independent judge of what a solver found.

Isotropic: N standard normal vectors of dimension 384 scaled to unit norm, against M of the same law. Clustered, closer to
text: a hundred clusters in ten topics, whose shares differ between source and target, with most of the spread inside a
cluster in a few dozen directions. Cost ½‖x−y‖², ε = 0.0025 (blur 0.05), uniform weights.
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


def targets(problem: str, m: int, seed: int = 1) -> np.ndarray[Any, Any]:
    """The (m, 384) target points."""
    return unit_vectors(m, seed) if problem == "isotropic" else clustered(m, seed, shares=2)


def source_file(directory: Path, problem: str, n: int) -> Path:
    """The source as a memory-mappable file, written once in blocks."""
    path = directory / f"{problem}-{n}.npy"
    if not path.exists():
        with replaced(path) as partial:
            out = np.lib.format.open_memmap(partial, "w+", np.float32, (n, DIMENSION))
            for block, start in enumerate(range(0, n, 100_000)):
                size, seed = min(100_000, n - start), 1000 + block
                points = unit_vectors(size, seed) if problem == "isotropic" else clustered(size, seed, 1)
                out[start : start + size] = points
            out.flush()
    return path


def judge(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], g: np.ndarray[Any, Any]) -> tuple[float, float]:
    """H(g) and the marginal error of `g` for uniform weights, by textbook log-sum-exp in float64."""
    import torch

    targets, m = torch.from_numpy(y).double(), len(y)
    bias = torch.from_numpy(g).double() / EPSILON - math.log(m)
    column, total = torch.zeros(m, dtype=torch.float64), 0.0
    for start in range(0, len(x), BLOCK):
        rows = torch.from_numpy(np.array(x[start : start + BLOCK])).double()
        cost = 0.5 * (rows.square().sum(1)[:, None] + targets.square().sum(1)) - rows @ targets.T
        exponent = bias - cost / EPSILON
        normaliser = exponent.logsumexp(1)
        total -= EPSILON * float(normaliser.sum())
        column += (exponent - normaliser[:, None]).exp_().sum(0)
    return total / len(x) + float(g.mean()), float((column / len(x) - 1 / m).abs().sum())
