"""How many passes the transport solver takes where it is hard: rows in order of topic, uneven weights, groups far apart.

Passes over the whole source do not depend on how busy a machine is, seconds do. A row ends when it took its time; the table
is written to `benchmarks/results/transport-hard.md` as far as it came.

    python -m benchmarks.transport_hard [--n 200000] [--m 1000] [--minutes 12]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.transport_problem import by_topic, clustered, uneven, unit_vectors
from gotd_assets.artifacts.atomic import replaced
from gotd_assets.catalogue.tables import markdown_table

Array = np.ndarray[Any, Any]
Problem = tuple[Array, Array, Array | None, Array | None, float]
TOLERANCES = (1e-2, 1e-3, 1e-4)
EPSILON = 0.0025
MOST_PASSES = 40
RESULT = Path(__file__).parent / "results" / "transport-hard.md"


class OutOfTimeError(Exception):
    """A row took the time that was left."""


def _in_order(x: Array) -> Array:
    return x[by_topic(x)]


def _tight(n: int, seed: int, *, shares: int | None) -> Array:
    """Twenty groups that share next to no rows of one another."""
    draw = np.random.default_rng(seed)
    law = None if shares is None else np.random.default_rng(shares).dirichlet(np.ones(20))
    points = unit_vectors(20, 99)[draw.choice(20, n, p=law)] + 0.2 * unit_vectors(n, seed + 1)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def _doubled(x: Array, originals: int) -> Array:
    copies = x.copy()
    copies[len(x) // 2 :] = x[np.random.default_rng(3).integers(0, originals, len(x) - len(x) // 2)]
    return copies


PROBLEMS: dict[str, Callable[[int, int], Problem]] = {
    "isotropic": lambda n, m: (unit_vectors(n, 1000), unit_vectors(m, 1), None, None, EPSILON),
    "clusters, shuffled": lambda n, m: (clustered(n, 1000, 1), clustered(m, 1, 2), None, None, EPSILON),
    "clusters, in order": lambda n, m: (_in_order(clustered(n, 1000, 1)), clustered(m, 1, 2), None, None, EPSILON),
    "target weights u⁴": lambda n, m: (clustered(n, 1000, 1), clustered(m, 1, 2), None, uneven(m, 4), EPSILON),
    "target weights u¹²": lambda n, m: (clustered(n, 1000, 1), clustered(m, 1, 2), None, uneven(m, 12), EPSILON),
    "source weights Pareto": lambda n, m: (
        clustered(n, 1000, 1),
        clustered(m, 1, 2),
        np.random.default_rng(6).pareto(1.2, n) + 0.01,
        None,
        EPSILON,
    ),
    "tight groups": lambda n, m: (_tight(n, 10, shares=1), _tight(m, 20, shares=2), None, None, EPSILON),
    "equal tight groups": lambda n, m: (_tight(n, 10, shares=None), _tight(m, 20, shares=None), None, None, EPSILON),
    "duplicates": lambda n, m: (
        _doubled(unit_vectors(n, 1000), 50),
        _doubled(unit_vectors(m, 1), 10),
        None,
        None,
        EPSILON,
    ),
    "norms from .5 to 2": lambda n, m: (
        clustered(n, 1000, 1) * np.linspace(0.5, 2, n, dtype=np.float32)[:, None],
        clustered(m, 1, 2) * np.linspace(0.5, 2, m, dtype=np.float32)[:, None],
        None,
        None,
        EPSILON,
    ),
    "fewer rows than targets": lambda _, m: (unit_vectors(m // 2, 1000), unit_vectors(m, 1), None, None, EPSILON),
}


def row(name: str, n: int, m: int, until: float) -> tuple[str, ...]:
    """Passes to each tolerance, what was foretold at the end, and processor seconds."""
    from gotd_assets.transport import Problem, Progress, make_sketch, solve

    x, y, a, b, epsilon = PROBLEMS[name](n, m)
    errors: list[float] = []
    subsample = {"passes": 0}

    def told(now: Progress) -> None:
        if now.stage == "full pass":
            errors.append(now.marginal_error)
        else:
            subsample["passes"] += 1
        if time.monotonic() > until:
            raise OutOfTimeError

    started, ended = time.process_time(), ""
    try:
        asked = Problem(epsilon=epsilon, tolerance=TOLERANCES[-1], max_passes=MOST_PASSES)
        ended = str(
            solve(x, make_sketch(y, method="all", weights=b), asked, weights=a, progress=told).certificate.stopped
        )
    except OutOfTimeError:
        ended = "out of time"
    passes = [
        next((str(number) for number, error in enumerate(errors, 1) if error <= tolerance), f"> {len(errors)}")
        for tolerance in TOLERANCES
    ]
    return name, f"{len(x):,}", f"{len(y):,}", *passes, ended, f"{time.process_time() - started:.0f}"


def main() -> None:
    """Solve problem after problem, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--m", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=11)
    parser.add_argument("--problem", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    header = ("problem", "N", "M", *(f"to {tolerance:g}" for tolerance in TOLERANCES), "ended", "processor seconds")
    end, rows = time.monotonic() + 60 * arguments.minutes, []
    for number, name in enumerate(arguments.problem):
        left = len(arguments.problem) - number
        rows.append(row(name, arguments.n, arguments.m, time.monotonic() + max(5.0, (end - time.monotonic()) / left)))
        print(*rows[-1], sep=" | ", flush=True)
        with replaced(arguments.out) as partial:
            text = "\n".join(markdown_table(header, rows))
            partial.write_text(f"{json.dumps(machine(('torch',)))}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
