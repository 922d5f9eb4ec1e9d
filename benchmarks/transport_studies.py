"""What of this project's solver has no counterpart in its peers: warm starts, the ranking by tolerance, several targets at once."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.transport_problem import EPSILON, targets
from benchmarks.transport_solvers import Row

CHANGED = (0.01, 0.05, 0.2)
TOLERANCES = (1e-2, 1e-3, 1e-4)
_TARGETS = 8
_SHARDS = 8


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


class _Packed:
    """A compressed shard, which is unpacked whenever it is read: as slow as a disk or an object store."""

    def __init__(self, path: Path, rows: np.ndarray[Any, Any]) -> None:
        self._path = path
        np.savez_compressed(path, rows=rows.astype(np.float16))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        del copy
        return np.asarray(np.load(self._path)["rows"], dtype=dtype)


def together(x: np.ndarray[Any, Any], case: Row) -> Row:
    """Wall and processor seconds of eight targets one by one and in lock-step, over mapped and over compressed shards.

    Nothing is cached between passes, as with a source that does not fit.
    """
    from gotd_assets.transport import Problem, solve, solve_many

    clouds = [targets(case["problem"], case["m"], seed=30 + number) for number in range(_TARGETS)]
    asked, row = Problem(epsilon=EPSILON, overlap=0, score_error=math.inf, memory_bytes=0), {}
    with tempfile.TemporaryDirectory() as folder:
        cut = np.array_split(np.arange(len(x)), _SHARDS)
        packed = [_Packed(Path(folder) / f"{number}.npz", x[rows[0] : rows[-1] + 1]) for number, rows in enumerate(cut)]
        for name, source in (("mapped", x), ("compressed", packed)):
            for how in ("one by one", "together"):
                wall, processor = time.perf_counter(), time.process_time()
                if how == "together":
                    solve_many(source, clouds, asked)
                else:
                    for cloud in clouds:
                        solve(source, cloud, asked)
                row[f"{name}, {how}"] = time.perf_counter() - wall
                row[f"{name}, {how}, processor"] = time.process_time() - processor
    return row
