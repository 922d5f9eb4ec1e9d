"""Peak memory of a step's own process, where it keeps something of every document, by number of documents.

- **reading**: the digests of texts that were read (`SeenDigests`), to know those that come again;
- **exact**: equal documents of two sources of short texts, nearly all of them distinct, found by this process;
- **duplicates**: the same, and near-duplicates;
- **embedding**: which documents have a vector (`VectorStore`), vectors of 8 numbers, which are memory-mapped.

    python -m benchmarks.step_memory [--documents 1000000 4000000] [--steps reading exact duplicates embedding]

Each is measured in a process of its own, above what that process had before; bytes per document are the growth from the
first number of documents to the last. `benchmarks/plan.py` counts with them. All of it takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine

SHARD_ROWS = 50_000
MIB = 2**20


def digests(count: int, seed: int = 0) -> Iterator[npt.NDArray[np.uint8]]:
    """Random digests (n, 16), a shard at a time."""
    generator = np.random.default_rng(seed)
    for begin in range(0, count, SHARD_ROWS):
        yield generator.integers(0, 256, (min(SHARD_ROWS, count - begin), 16), dtype=np.uint8)


def reading(_: Path, count: int) -> Callable[[], object]:
    """Meets every digest."""
    from gotd_assets.artifacts.digests import SeenDigests

    def run() -> None:
        seen = SeenDigests()
        for number, part in enumerate(digests(count)):
            seen.meet(part.view("S16").ravel(), number * SHARD_ROWS + np.arange(len(part)))

    return run


def exact(folder: Path, count: int) -> Callable[[], object]:
    """Finds equal documents in two sources."""
    return duplicates(folder, count, near=False)


def duplicates(folder: Path, count: int, *, near: bool = True) -> Callable[[], object]:
    """Finds equal and similar documents in two sources."""
    import polars as pl

    from gotd_assets.corpus.duplicates.search import find_duplicates
    from gotd_assets.corpus.shards import ShardWriter, document_schema
    from gotd_assets.execution.processes import LocalEngine
    from gotd_assets.settings.texts import DuplicateSettings

    folders = {}
    same = next(digests(count))[:100]
    for seed, source in enumerate(("one", "two")):
        writer = ShardWriter(folder / source, [])
        for number, part in enumerate(digests(count // 2, seed)):
            # Of each source the same ones, once.
            part[:100] = same if number == 0 else part[:100]
            ids = [row.tobytes().hex() for row in part]
            texts = [" ".join(row[k : k + 4] for k in range(0, 32, 4)) for row in ids]
            columns = {"doc_id": ids, "text": texts, "source": source, "origin": "", "original_id": None, "n_chars": 39}
            writer.add(pl.DataFrame(columns, schema=document_schema()))
        writer.close()
        folders[source] = folder / source
    settings = DuplicateSettings(near=near)
    return lambda: find_duplicates(folders, settings, folder / "duplicates.parquet", engine=LocalEngine(1))


def embedding(folder: Path, count: int) -> Callable[[], object]:
    """Looks up every document."""
    from gotd_assets.embedding.store import SEGMENT_ROWS, VectorStore, hex_ids

    segment = 0
    for part in digests(count):
        for begin in range(0, len(part), SEGMENT_ROWS):
            np.save(folder / f"ids-{segment:032x}.npy", part[begin : begin + SEGMENT_ROWS])
            np.save(
                folder / f"vectors-{segment:032x}.npy", np.zeros((len(part[begin : begin + SEGMENT_ROWS]), 8), "f2")
            )
            segment += 1

    def run() -> None:
        store = VectorStore(folder)
        store.refresh()
        assert not any(store.missing(hex_ids(part)).any() for part in digests(count))

    return run


STEPS = {"reading": reading, "exact": exact, "duplicates": duplicates, "embedding": embedding}


def measured(step: str, count: int) -> dict[str, Any]:
    """What the step took, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        run = STEPS[step](Path(folder), count)
        # What preparing took at its most is not given back at once: the peak is counted anew.
        Path("/proc/self/clear_refs").write_text("5")
        before, started, used = _resident("VmRSS"), time.perf_counter(), time.process_time()
        run()
        return {
            "grew": _resident("VmHWM") - before,
            "seconds": round(time.perf_counter() - started, 1),
            "processor_seconds": round(time.process_time() - used, 1),
        }


def _resident(name: str) -> int:
    """Bytes of memory of this process, by the kernel's `name` for them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Print a row for each step and number of documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="*", default=[1_000_000, 4_000_000])
    parser.add_argument("--steps", nargs="*", choices=tuple(STEPS), default=list(STEPS))
    parser.add_argument("--one", nargs=2, help="for this program itself")
    given = parser.parse_args()
    if given.one:
        step, count = given.one
        print(json.dumps(measured(step, int(count))))
        return
    print(machine(("polars", "numpy")), flush=True)
    for step in given.steps:
        grown = {}
        for count in given.documents:
            command = [sys.executable, "-m", "benchmarks.step_memory", "--one", step, str(count)]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            grown[count] = found.pop("grew")
            print(f"{step}, {count:,}: {grown[count] / MIB:,.0f} MiB, {found}", flush=True)
        first, last = min(grown), max(grown)
        if last > first:
            print(f"{step}: {(grown[last] - grown[first]) / (last - first):.0f} bytes per document", flush=True)


if __name__ == "__main__":
    main()
