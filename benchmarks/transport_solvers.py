"""What the transport benchmark measures: this project's solver, its peers as their authors would run them, and one pass.

Each solver takes x (N, 384) and y (M, 384), float32, and the row to measure, and returns its target potential (M,)
float64 and what it says of itself.
"""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.transport_problem import BLOCK, EPSILON

Row = dict[str, Any]


def ours(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], case: Row) -> tuple[np.ndarray[Any, Any], Row]:
    """This project's solver; `case` may set tolerance, cache (bool) and products."""
    from gotd_assets.transport import Problem, make_sketch, solve

    budget: Row = {} if case.get("cache", True) else {"memory_bytes": 0}
    problem = Problem(
        epsilon=EPSILON, tolerance=case.get("tolerance", 1e-2), products=case.get("products", "float32"), **budget
    )
    solved = solve(x, make_sketch(y, method="all"), problem)
    certificate = solved.certificate
    return solved.g.numpy(), {
        "passes": certificate.passes,
        "subsample_passes": certificate.subsample_passes,
        "gap": certificate.gap,
        "product_error": certificate.product_error,
        "cached": certificate.cached,
        "converged": certificate.converged,
    }


def geomloss(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], case: Row) -> tuple[np.ndarray[Any, Any], Row]:
    """SamplesLoss as the documentation uses it: `potentials=True`, no debiasing, as the problem has none."""
    import torch
    from geomloss import SamplesLoss

    _, backend, scaling = case["solver"].split()
    loss = SamplesLoss(
        "sinkhorn", p=2, blur=math.sqrt(EPSILON), scaling=float(scaling), debias=False, potentials=True, backend=backend
    )
    _, g = loss(torch.from_numpy(np.array(x)), torch.from_numpy(y))
    return g.detach().flatten().double().numpy(), {}


def ott(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], _: Row) -> tuple[np.ndarray[Any, Any], Row]:
    """OTT-JAX on a dense point cloud, jitted, threshold 1e-2 on the L1 marginal error, compilation included."""
    import jax
    import jax.numpy as jnp
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    # OTT's squared Euclidean cost lacks the half: scaling both clouds by √½ gives ½‖x−y‖².
    points, targets = (jnp.asarray(rows) * math.sqrt(0.5) for rows in (x, y))
    cloud = pointcloud.PointCloud(points, targets, epsilon=EPSILON)
    solver = jax.jit(sinkhorn.Sinkhorn(threshold=1e-2, max_iterations=2000))
    out = solver(linear_problem.LinearProblem(cloud))
    return np.asarray(out.g, dtype=np.float64), {"passes": int(out.n_iters)}


def pot(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], _: Row) -> tuple[np.ndarray[Any, Any], Row]:
    """POT's log-domain Sinkhorn on torch float32 tensors, stopped at marginal error 1e-2 (an L2 norm there)."""
    import ot
    import torch

    source, target = torch.from_numpy(np.array(x)), torch.from_numpy(y)
    a, b = torch.full((len(x),), 1 / len(x)), torch.full((len(y),), 1 / len(y))
    cost = ot.dist(source, target).mul_(0.5)
    threshold = 1e-2 / math.sqrt(len(y))
    _, log = ot.bregman.sinkhorn_log(a, b, cost, EPSILON, numItermax=2000, stopThr=threshold, log=True, warn=False)
    return (EPSILON * log["log_v"]).double().numpy(), {"passes": int(log["niter"])}


def one_pass(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    """Seconds of one blocked product-and-softmax pass, the yardstick; the median of three."""
    import torch

    targets, runs = torch.from_numpy(y).T.contiguous(), []
    for _ in range(3):
        started = time.perf_counter()
        for start in range(0, len(x), BLOCK):
            rows = torch.from_numpy(np.array(x[start : start + BLOCK]))
            torch.softmax((rows @ targets).mul_(1 / EPSILON), dim=1)
        runs.append(time.perf_counter() - started)
    return statistics.median(runs)
