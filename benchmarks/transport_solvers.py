"""What the transport benchmark measures: this project's solver, its peers as their authors would run them, and one pass.

Each solver takes x (N, 384) and y (M, 384), float32, the target's weights b (M,), and the row to measure, and returns its
target potential (M,) float64, or None if it has none, and what it says of itself.
"""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.transport_problem import BLOCK, EPSILON

Row = dict[str, Any]
Array = np.ndarray[Any, Any]
Found = tuple[Array | None, Row]
_BATCHES, _BATCH_ROWS = 4000, 1024  # of OTT's semidiscrete solver
_STEPS = 100  # of geomloss' newer loop, which has no number of its own
_RANK = 100  # of POT's low-rank solvers: its default


def ours(x: Array, y: Array, b: Array, case: Row) -> Found:
    """This project's solver; `case` may set tolerance, cache (bool) and products."""
    from gotd_assets.transport import Problem, make_sketch, solve

    budget: Row = {} if case.get("cache", True) else {"memory_bytes": 0}
    problem = Problem(
        epsilon=EPSILON, tolerance=case.get("tolerance", 1e-2), products=case.get("products", "float32"), **budget
    )
    solved = solve(x, make_sketch(y, method="all", weights=b), problem)
    certificate = solved.certificate
    return solved.g.numpy(), {
        "passes": certificate.passes,
        "subsample_passes": certificate.subsample_passes,
        "gap": certificate.gap,
        "product_error": certificate.product_error,
        "cached": certificate.cached,
        "converged": certificate.converged,
    }


def geomloss(x: Array, y: Array, b: Array, case: Row) -> Found:
    """SamplesLoss as the documentation uses it: `potentials=True`, no debiasing, as the problem has none."""
    import torch
    from geomloss import SamplesLoss

    _, backend, scaling = case["solver"].split()
    loss = SamplesLoss(
        "sinkhorn", p=2, blur=math.sqrt(EPSILON), scaling=float(scaling), debias=False, potentials=True, backend=backend
    )
    a, weights = torch.full((len(x),), 1 / len(x)), torch.from_numpy(b).float()
    _, g = loss(a, torch.from_numpy(np.array(x)), weights, torch.from_numpy(y))
    return g.detach().flatten().double().numpy(), {}


def geomloss_sample(x: Array, y: Array, b: Array, _: Row) -> Found:
    """Geomloss' newer `ot.solve_sample`, of the cost ‖x−y‖²: reg and potentials are twice ours."""
    import torch
    from geomloss import ot

    a, weights = torch.full((len(x),), 1 / len(x)), torch.from_numpy(b).float()
    found = ot.solve_sample(
        torch.from_numpy(np.array(x)), torch.from_numpy(y), a, weights, reg=2 * EPSILON, max_iter=_STEPS
    )
    return found.potential_b.detach().flatten().double().numpy() / 2, {}


def ott(x: Array, y: Array, b: Array, _: Row) -> Found:
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
    out = solver(linear_problem.LinearProblem(cloud, b=jnp.asarray(b, dtype=jnp.float32)))
    return np.asarray(out.g, dtype=np.float64), {"passes": int(out.n_iters)}


def ott_semidiscrete(x: Array, y: Array, b: Array, _: Row) -> Found:
    """OTT-JAX's stochastic solver of the semi-dual: batches of rows drawn at random, Adam, an average of the potentials."""
    import jax
    import jax.numpy as jnp
    import optax
    from ott.geometry import semidiscrete_pointcloud
    from ott.problems.linear import semidiscrete_linear_problem
    from ott.solvers.linear import semidiscrete

    points, targets = (jnp.asarray(rows) * math.sqrt(0.5) for rows in (x, y))

    def drawn(key: Any, shape: tuple[int, ...], _: Any) -> Any:
        return points[jax.random.randint(key, shape[:1], 0, len(points))]

    cloud = semidiscrete_pointcloud.SemidiscretePointCloud(drawn, targets, epsilon=EPSILON)
    problem = semidiscrete_linear_problem.SemidiscreteLinearProblem(cloud, b=jnp.asarray(b, dtype=jnp.float32))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, _BATCHES))
    solver = semidiscrete.SemidiscreteSolver(num_iterations=_BATCHES, batch_size=_BATCH_ROWS, optimizer=optimizer)
    out = jax.jit(solver)(jax.random.key(0), problem)
    return np.asarray(out.g, dtype=np.float64), {"passes": round(_BATCHES * _BATCH_ROWS / len(x))}


def pot(x: Array, y: Array, b: Array, _: Row) -> Found:
    """POT's log-domain Sinkhorn on torch float32 tensors, stopped at marginal error 1e-2 (an L2 norm there)."""
    import ot
    import torch

    source, target = torch.from_numpy(np.array(x)), torch.from_numpy(y)
    a, weights = torch.full((len(x),), 1 / len(x)), torch.from_numpy(b).float()
    cost = ot.dist(source, target).mul_(0.5)
    threshold = 1e-2 / math.sqrt(len(y))
    _, log = ot.bregman.sinkhorn_log(
        a, weights, cost, EPSILON, numItermax=2000, stopThr=threshold, log=True, warn=False
    )
    # Its plan is exp(u + v − C/ε), without b.
    g = EPSILON * (log["log_v"].double().numpy() - np.log(b))
    return g, {"passes": int(log["niter"])}


def pot_nystroem(x: Array, y: Array, b: Array, _: Row) -> Found:
    """POT's Nyström Sinkhorn (Altschuler et al. 2019), on a hundred anchors."""
    import ot

    factors = ot.lowrank.kernel_nystroem(
        np.array(x, dtype=np.float64), y.astype(np.float64), anchors=_RANK, sigma=math.sqrt(EPSILON), random_state=0
    )
    a = np.full(len(x), 1 / len(x))
    _, v = ot.lowrank.sinkhorn_low_rank_kernel(*factors, a=a, b=b, numItermax=2000, stopThr=1e-4, warn=False)
    return EPSILON * (np.log(v) - np.log(b)), {}


def pot_low_rank(x: Array, y: Array, b: Array, _: Row) -> Found:
    """POT's low-rank Sinkhorn (Scetbon et al. 2021): another problem, whose plan has rank at most a hundred; no potentials."""
    import ot

    points, targets = np.array(x, dtype=np.float64), y.astype(np.float64)
    found = ot.solve_sample(points, targets, b=b, reg=2 * EPSILON, method="lowrank", rank=_RANK, lazy=True)
    return None, {"transport_cost": float(found.value_linear) / 2}


def one_pass(x: Array, y: Array) -> float:
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
