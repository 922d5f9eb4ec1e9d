"""How fast and how exact the transport solver is, beside the libraries a user would otherwise reach for.

Every solver runs in a process of its own with the same number of threads; its target potential is judged by one
independent pass with exact couplings: dual value H(g) and marginal error ‖Pᵀ1 − b‖₁. What takes seconds is solved
several times and its median reported, because the speed of a shared machine wanders. Rows are merged into
`benchmarks/results/transport.json` as they finish, so the table can be measured in pieces.

    python -m benchmarks.transport [--part ours peers tolerance warm many] [--problem clustered] [--n 20000 …] [--m 500 …]
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

import numpy as np
import psutil

from benchmarks.machine import machine
from benchmarks.transport_problem import PROBLEMS, judge, source_file, target_weights, targets
from benchmarks.transport_solvers import (
    Found,
    Row,
    geomloss,
    geomloss_sample,
    one_pass,
    ott,
    ott_semidiscrete,
    ours,
    pot,
    pot_low_rank,
    pot_nystroem,
)
from benchmarks.transport_studies import together, tolerances, warm_start
from benchmarks.transport_table import table

TOLERANCES = (1e-2, 1e-3, 1e-4)
REPEATED_SECONDS, MOST_RUNS = 15.0, 7
RESULTS = Path(__file__).parent / "results"
SOLVERS: dict[str, Callable[..., Found]] = {
    "geomloss tensorized 0.5": geomloss,
    "geomloss tensorized 0.9": geomloss,
    "geomloss online 0.5": geomloss,
    "geomloss solve_sample": geomloss_sample,
    "OTT-JAX": ott,
    "OTT-JAX semidiscrete": ott_semidiscrete,
    "POT": pot,
    "POT Nyström": pot_nystroem,
    "POT low rank": pot_low_rank,
}
PEERS = tuple(SOLVERS)
# A peer that holds N×M matrices needs several of them; beyond this it cannot run here.
DENSE_PEERS, DENSE_COPIES = {*PEERS} - {"geomloss online 0.5", "OTT-JAX semidiscrete", "POT Nyström", "POT low rank"}, 4


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


def run_case(case: Row, directory: Path) -> Row:
    """Measure one row in this process."""
    import torch

    torch.set_num_threads(case["threads"])
    x, y = (
        np.load(source_file(directory, case["problem"], case["n"]), mmap_mode="r"),
        targets(case["problem"], case["m"]),
    )
    kind, b = case["solver"], target_weights(case["problem"], case["m"])
    if kind == "one pass":
        return {**case, "seconds": one_pass(x, y)}
    if kind == "warm start":
        return {**case, "warm_starts": warm_start(x, y, case["problem"])}
    if kind == "tolerance":
        return {**case, "top_overlap": tolerances(x, y)}
    if kind == "eight targets":
        return {**case, **together(x, case)}
    solver = SOLVERS.get(kind, ours)
    if solver is ours:
        ours(x[:500], y[:16], np.full(16, 1 / 16), {})  # loads the libraries
    with PeakMemory() as peak:
        started = time.perf_counter()
        g, facts = solver(x, y, b, case)
        runs = [time.perf_counter() - started]
    while len(runs) < MOST_RUNS and sum(runs) < REPEATED_SECONDS:
        started = time.perf_counter()
        solver(x, y, b, case)
        runs.append(time.perf_counter() - started)
    row = {**case, "seconds": statistics.median(runs), "runs": runs, "peak_private_bytes": peak.bytes, **facts}
    if g is None:
        return row
    value, error = judge(x, y, b, g)
    return {**row, "dual_value": value, "marginal_error": error}


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
        if "many" in arguments.part and m == 500:
            rows.append({"solver": "eight targets", **size})
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
    parts = ["ours", "warm", "tolerance", "many", "peers"]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument("--problem", nargs="+", choices=PROBLEMS, default=PROBLEMS)
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
