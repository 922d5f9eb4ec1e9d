"""Peak memory and seconds of the choice by `gotd` of 10,000 of N candidates, part by part and as one frame.

python -m benchmarks.selection_memory [--candidates 1000000 10000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import machine
from gotd_assets.selection.methods import SelectionProblem, select
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.selection.scored import Scored

SHARD_ROWS = 50_000
NO_TARGET: npt.NDArray[Any] = np.zeros((1, 2), dtype=np.float32)


def write(path: Path, count: int) -> None:
    """Scores with ties, in row groups as `candidate_scores` writes them."""
    schema = pa.schema([("doc_id", pa.string()), ("source", pa.string()), ("score", pa.float64())])
    draw = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for begin in range(0, count, SHARD_ROWS):
            rows = min(SHARD_ROWS, count - begin)
            ids = [draw.bytes(16).hex() for _ in range(rows)]
            scores = draw.standard_normal(rows).round(4)
            writer.write_table(pl.DataFrame({"doc_id": ids, "source": "web", "score": scores}).to_arrow().cast(schema))


def chosen(path: Path, *, by_part: bool) -> dict[str, object]:
    """What the choice took, above what the process had before."""
    before, started = _peak(), time.perf_counter()
    scored = Scored(path, pl.DataFrame(schema={"doc_id": pl.String}))
    none = pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String, "score": pl.Float64})
    problem = SelectionProblem(
        scores=none if by_part else scored.frame(),
        scored=scored if by_part else None,
        pool=Pool([]),
        target=NO_TARGET,
        budget=10_000,
        seed=0,
    )
    found = select("gotd", problem)
    seconds = time.perf_counter() - started
    return {
        "grew_mib": round((_peak() - before) / 2**20),
        "seconds": round(seconds, 1),
        "hash": int(found.hash_rows().sum()),
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print a row for each number of candidates and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--one", nargs=2, help="for this program itself")
    given = parser.parse_args()
    if given.one:
        path, way = given.one
        print(json.dumps(chosen(Path(path), by_part=way == "by part")))
        return
    print(machine(("polars",)), flush=True)
    for count in given.candidates:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scores.parquet"
            write(path, count)
            for way in ("by part", "as one frame"):
                command = [sys.executable, "-m", "benchmarks.selection_memory", "--one", str(path), way]
                ran = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                print(f"{count:,} {way}: {ran.stdout.decode().strip()}", flush=True)


if __name__ == "__main__":
    main()
