"""How fast and how exact the transport solver is, beside the libraries a user would otherwise reach for.

The problem: N standard normal vectors of dimension 384 scaled to unit norm, against M of the same law, cost ½‖x−y‖²,
ε = 0.0025 (blur 0.05); and, closer to text, a clustered one: a hundred clusters in ten topics, whose shares differ between
source and target, with most of the spread inside a cluster in a few dozen directions. Every solver runs in a process of its own with the same number of threads; its target potential
is judged here, by one independent pass with exact couplings: dual value H(g) and marginal error ‖Pᵀ1 − b‖₁. Rows are
merged into `benchmarks/results/transport.json` as they finish, so the table can be measured in pieces.

    python -m benchmarks.transport [--part ours peers tolerance warm] [--problem clustered] [--n 20000 …] [--m 500 …] [--limit 600]
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.machine import machine

DIMENSION = 384
EPSILON = 0.0025
BLOCK = 2048
CHANGED = (0.01, 0.05, 0.2)
TOLERANCES = (1e-2, 1e-3, 1e-4)
CLUSTERS, TOPICS, DIRECTIONS = 100, 10, 48
RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]
PEERS = ("geomloss tensorized 0.5", "geomloss tensorized 0.9", "geomloss online 0.5", "OTT-JAX", "POT")
# A peer that holds N×M matrices needs several of them; beyond this it cannot run here.
DENSE_COPIES = {"geomloss tensorized 0.5": 4, "geomloss tensorized 0.9": 4, "OTT-JAX": 4, "POT": 4}


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
        partial = path.with_suffix(".partial")
        out = np.lib.format.open_memmap(partial, "w+", np.float32, (n, DIMENSION))
        for block, start in enumerate(range(0, n, 100_000)):
            size, seed = min(100_000, n - start), 1000 + block
            out[start : start + size] = unit_vectors(size, seed) if problem == "isotropic" else clustered(size, seed, 1)
        out.flush()
        partial.rename(path)
    return path


def private_bytes() -> int:
    """Anonymous memory of this process: pages of mapped files are not counted."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


class PeakMemory:
    """The largest growth of private memory inside the `with` block, sampled every 20 ms."""

    def __enter__(self) -> PeakMemory:
        self.bytes, self._start, self._done = 0, private_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, private_bytes() - self._start)


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


def ours(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], case: Row) -> tuple[np.ndarray[Any, Any], Row]:
    """This project's solver; `case` may set tolerance, cache (bool) and products."""
    from gotd_assets.transport import make_sketch, solve

    budget = {} if case.get("cache", True) else {"memory_budget_bytes": 0}
    sketch = make_sketch(y, method="all")
    solved = solve(
        x,
        sketch,
        epsilon=EPSILON,
        tolerance=case.get("tolerance", 1e-2),
        products=case.get("products", "float32"),
        **budget,
    )
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
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    # OTT's squared Euclidean cost lacks the half: scaling both clouds by √½ gives ½‖x−y‖².
    cloud = pointcloud.PointCloud(np.array(x) * math.sqrt(0.5), y * math.sqrt(0.5), epsilon=EPSILON)
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
    """Seconds of one blocked product-and-softmax pass, the yardstick; the better of two."""
    import torch

    targets, best = torch.from_numpy(y).T.contiguous(), math.inf
    for _ in range(2):
        started = time.perf_counter()
        for start in range(0, len(x), BLOCK):
            rows = torch.from_numpy(np.array(x[start : start + BLOCK]))
            torch.softmax((rows @ targets).mul_(1 / EPSILON), dim=1)
        best = min(best, time.perf_counter() - started)
    return best


def warm_start(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], problem: str) -> list[Row]:
    """Passes of a cold solve and of one from earlier potentials, by tolerance and by how much of the target changed."""
    from gotd_assets.transport import make_sketch, solve

    rows = []
    for tolerance in TOLERANCES:
        asked = {"epsilon": EPSILON, "tolerance": tolerance}
        old = solve(x, make_sketch(y, method="all"), **asked)
        for share in CHANGED:
            size, changed = int(share * len(y)), y.copy()
            changed[:size] = targets(problem, size, seed=77)
            sketch = make_sketch(changed, method="all")
            cold, warm = solve(x, sketch, **asked), solve(x, sketch, **asked, initial=old)
            rows.append(
                {"changed": share, "tolerance": tolerance}
                | {
                    f"{name}_{figure}": getattr(solved.certificate, figure)
                    for name, solved in (("cold", cold), ("warm", warm))
                    for figure in ("passes", "subsample_passes", "subsample_rows", "seconds", "marginal_error")
                }
            )
    return rows


def tolerances(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Row:
    """Top 1% in common with a solve at 1e-4, by tolerance; and between one thread and all."""
    import torch

    from gotd_assets.transport import make_sketch, solve

    sketch, threads, size = make_sketch(y, method="all"), torch.get_num_threads(), len(x) // 100

    def top(tolerance: float) -> set[int]:
        solved = solve(x, sketch, epsilon=EPSILON, tolerance=tolerance)
        return set(solved.scores(x).topk(size, largest=False).indices.tolist())

    reference = top(1e-4)
    row = {f"{tolerance:g}": len(top(tolerance) & reference) / size for tolerance in (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)}
    many = top(1e-2)
    torch.set_num_threads(1)
    row[f"1e-2, 1 thread against {threads}"] = len(top(1e-2) & many) / size
    return row


def run_case(case: Row, directory: Path) -> Row:
    """Measure one row in this process."""
    import torch

    torch.set_num_threads(case["threads"])
    x, y = (
        np.load(source_file(directory, case["problem"], case["n"]), mmap_mode="r"),
        targets(case["problem"], case["m"]),
    )
    kind = case["solver"]
    if kind == "one pass":
        return {**case, "seconds": one_pass(x, y)}
    if kind == "warm start":
        return {**case, "warm_starts": warm_start(x, y, case["problem"])}
    if kind == "tolerance":
        return {**case, "top_overlap": tolerances(x, y)}
    solver: Callable[..., tuple[np.ndarray[Any, Any], Row]] = {"geomloss": geomloss, "OTT-JAX": ott, "POT": pot}.get(
        kind.split()[0], ours
    )
    if solver is ours:
        ours(x[:500], y[:16], {})  # loads the libraries
    with PeakMemory() as peak:
        started = time.perf_counter()
        g, facts = solver(x, y, case)
        seconds = time.perf_counter() - started
    value, error = judge(x, y, g)
    return {
        **case,
        "seconds": seconds,
        "dual_value": value,
        "marginal_error": error,
        "peak_private_bytes": peak.bytes,
        **facts,
    }


def cases(arguments: argparse.Namespace) -> list[Row]:
    """The rows asked for, quick ones first."""
    rows: list[Row] = []
    for problem, n, m in itertools.product(arguments.problem, arguments.n, arguments.m):
        size = {"problem": problem, "n": n, "m": m, "threads": arguments.threads}
        if "ours" in arguments.part:
            bare = {"cache": False, **size}
            rows += [{"solver": "one pass", **size}, {"solver": "gotd-assets", **size}]
            rows.append({"solver": "gotd-assets, no cache", **bare})
            if m == 1000:
                rows.append({"solver": "gotd-assets, no cache, reduced", "products": "reduced", **bare})
                rows += [{"solver": f"gotd-assets, {t:g}", "tolerance": t, **size} for t in TOLERANCES[1:]]
        if "warm" in arguments.part and m == 1000:
            rows.append({"solver": "warm start", **size})
        if "tolerance" in arguments.part and m == 1000 and n <= 200_000:
            rows.append({"solver": "tolerance", **size})
        if "peers" in arguments.part:
            rows += [{"solver": peer, **size} for peer in arguments.peers]
    return rows


def measure(case: Row, directory: Path, limit: float) -> Row:
    """Run one row in a process of its own; a row that fails or takes too long says so."""
    needed = DENSE_COPIES.get(case["solver"], 0) * case["n"] * case["m"] * 4
    if needed > psutil.virtual_memory().available:
        return {**case, "failed": f"would need about {needed / 2**30:.0f} GiB"}
    command = [sys.executable, "-m", "benchmarks.transport", "--case", json.dumps(case), "--data", str(directory)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(case["threads"])}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return {**case, "failed": f"over {limit:.0f} s"}
    if done.returncode:
        return {**case, "failed": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:120]}
    return json.loads(done.stdout.splitlines()[-1])


def table(report: Row) -> str:
    """The report as Markdown."""
    lines = [
        "| problem | N | M | solver | seconds | dual value | marginal error | passes (full + subsample) | private memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = sorted(report["rows"], key=lambda row: (row["problem"] != "isotropic", row["n"], row["m"]))
    for row in rows:
        head = f"| {row['problem']} | {row['n']:,} | {row['m']:,} | {row['solver']} "
        if "failed" in row:
            lines.append(head + f"| {row['failed']} | | | | |")
        elif row["solver"] == "one pass":
            lines.append(head + f"| {row['seconds']:.2f} | | | 1 | |")
        elif "dual_value" in row:
            passes = f"{row.get('passes', '')}" + (f" + {row['subsample_passes']}" if "subsample_passes" in row else "")
            lines.append(
                head + f"| {row['seconds']:.2f} | {row['dual_value']:.4f} | {row['marginal_error']:.4f} | {passes} "
                f"| {row['peak_private_bytes'] / 2**30:.2f} GiB |"
            )
    return "\n".join([*lines, "", *_ratios(rows), ""])


def _ratios(rows: list[Row]) -> list[str]:
    """Side-by-side ratios, rank agreement, warm starts and growth, one sentence each."""
    seconds = {(row["solver"], row["problem"], row["n"], row["m"]): row["seconds"] for row in rows if "seconds" in row}
    said = []
    for (solver, *size), taken in seconds.items():
        mine, name = seconds.get(("gotd-assets", *size)), _name(*size)
        if mine is not None and solver == "one pass":
            said.append(f"- {name}: a solve takes {mine / taken:.1f} times one product-and-softmax pass.")
        elif mine is not None and not solver.startswith("gotd-assets"):
            said.append(f"- {name}: {taken / mine:.1f} times faster than {solver}.")
    for row in rows:
        name = _name(row["problem"], row["n"], row["m"])
        if row.get("product_error"):
            said.append(f"- {name}: reduced products are off by at most {row['product_error']:.2g} ε where looked at.")
        if "top_overlap" in row:
            shares = ", ".join(f"{tolerance}: {share:.1%}" for tolerance, share in row["top_overlap"].items())
            said.append(f"- {name}: top 1% in common with tolerance 1e-4, by tolerance: {shares}.")
        for again in row.get("warm_starts", []):
            said.append(
                f"- {name}, tolerance {again['tolerance']:g}, {again['changed']:.0%} of the target changed: "
                f"{again['warm_passes']} + {again['warm_subsample_passes']} passes ({again['warm_seconds']:.2f} s) instead "
                f"of {again['cold_passes']} + {again['cold_subsample_passes']} ({again['cold_seconds']:.2f} s)."
            )
    for ours in ("gotd-assets", "gotd-assets, no cache", "one pass"):
        sizes = [
            (n, m, taken)
            for (solver, problem, n, m), taken in seconds.items()
            if (solver, problem) == (ours, "isotropic")
        ]
        if len(sizes) >= 4:
            design = np.array([[1.0, math.log(n), math.log(m)] for n, m, _ in sizes])
            power = np.linalg.lstsq(design, np.log([taken for *_, taken in sizes]), rcond=None)[0]
            said.append(f"- {ours}: over these {len(sizes)} sizes, time grows as N^{power[1]:.2f} · M^{power[2]:.2f}.")
    return said


def _name(problem: str, n: int, m: int) -> str:
    return f"{n:,}×{m:,}" + ("" if problem == "isotropic" else f" {problem}")


def main() -> None:
    """Measure the rows asked for, merge them into the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["ours", "warm", "tolerance", "peers"]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    problems = ["isotropic", "clustered"]
    parser.add_argument("--problem", nargs="+", choices=problems, default=problems)
    parser.add_argument("--n", nargs="+", type=int, default=[20_000, 200_000, 1_000_000])
    parser.add_argument("--m", nargs="+", type=int, default=[500, 1000, 4000])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a row is given up")
    parser.add_argument("--data", type=Path, help="where the generated vectors are kept (1.5 GB for a million)")
    parser.add_argument("--out", type=Path, default=RESULTS / "transport.json")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    directory = arguments.data or Path(tempfile.gettempdir()) / "gotd-bench-transport"
    directory.mkdir(parents=True, exist_ok=True)
    if arguments.case:
        print(json.dumps(run_case(json.loads(arguments.case), directory)))
        return
    report: Row = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"rows": []}
    report["machine"] = machine(("torch", "geomloss", "pykeops", "ott-jax", "jax", "POT"))
    for case in cases(arguments):
        source_file(directory, case["problem"], case["n"])
        row = {
            **measure(case, directory, arguments.limit),
            "measured": dt.datetime.now(dt.UTC).isoformat("T", "minutes"),
        }
        same = {"solver", "problem", "n", "m"}
        report["rows"] = [old for old in report["rows"] if any(old[key] != row[key] for key in same)] + [row]
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
        print(json.dumps(row), flush=True)
    text = table(report)
    arguments.out.with_suffix(".md").write_text(f"{json.dumps(report['machine'])}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
