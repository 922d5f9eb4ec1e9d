"""How fast and how exact the transport solver is, beside the libraries a user would otherwise reach for.

Every solver runs in a process of its own with the same number of threads; its target potential is judged by one
independent pass with exact couplings: dual value H(g) and marginal error ‖Pᵀ1 − b‖₁. What takes seconds is solved
several times and its median reported, because the speed of a shared machine wanders. Rows are merged into
`benchmarks/results/transport.json` as they finish, so the table can be measured in pieces.

    python -m benchmarks.transport [--part ours peers tolerance warm] [--problem clustered] [--n 20000 …] [--m 500 …]
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import os
import statistics
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
from benchmarks.transport_problem import EPSILON, judge, source_file, targets
from benchmarks.transport_solvers import Row, geomloss, one_pass, ott, ours, pot
from benchmarks.transport_table import table

CHANGED = (0.01, 0.05, 0.2)
TOLERANCES = (1e-2, 1e-3, 1e-4)
REPEATED_SECONDS, MOST_RUNS = 15.0, 7
RESULTS = Path(__file__).parent / "results"
PEERS = ("geomloss tensorized 0.5", "geomloss tensorized 0.9", "geomloss online 0.5", "OTT-JAX", "POT")
# A peer that holds N×M matrices needs several of them; beyond this it cannot run here.
DENSE_PEERS, DENSE_COPIES = {*PEERS} - {"geomloss online 0.5"}, 4


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


def warm_start(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], problem: str) -> list[Row]:
    """Passes of a cold solve and of one from earlier potentials, by tolerance and by how much of the target changed."""
    from gotd_assets.transport import Problem, make_sketch, solve

    rows = []
    for tolerance in TOLERANCES:
        asked = Problem(epsilon=EPSILON, tolerance=tolerance)
        old = solve(x, make_sketch(y, method="all"), asked)
        for share in CHANGED:
            size, changed = int(share * len(y)), y.copy()
            changed[:size] = targets(problem, size, seed=77)
            sketch = make_sketch(changed, method="all")
            cold, warm = solve(x, sketch, asked), solve(x, sketch, asked, initial=old)
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

    from gotd_assets.transport import Problem, make_sketch, solve

    sketch, threads, size = make_sketch(y, method="all"), torch.get_num_threads(), len(x) // 100

    def top(tolerance: float) -> set[int]:
        solved = solve(x, sketch, Problem(epsilon=EPSILON, tolerance=tolerance))
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
        runs = [time.perf_counter() - started]
    while len(runs) < MOST_RUNS and sum(runs) < REPEATED_SECONDS:
        started = time.perf_counter()
        solver(x, y, case)
        runs.append(time.perf_counter() - started)
    value, error = judge(x, y, g)
    return {
        **case,
        "seconds": statistics.median(runs),
        "runs": runs,
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
    needed = DENSE_COPIES * case["n"] * case["m"] * 4
    if case["solver"] in DENSE_PEERS and needed > psutil.virtual_memory().available:
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
