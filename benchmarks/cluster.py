"""The same stations by the local engine and by Ray, and what a solve sends, holds and takes on each.

Two parts, each engine in a process of its own, one after the other:

- **pool**: documents of about 1 KB (`benchmarks/corpus_pool.py`), static embeddings and targets of the pool itself, through
  reading, duplicates, embedding, solve and scores; artifacts are compared by checksum;
- **vectors**: a solve over vectors made at random, for how the driver's memory and the bytes of a pass grow.

Engines: `local` (two processes, two threads), `ray-1x2` (a raylet of two processors), `ray-2x1` (two raylets of one), and
`ray-1x1` (a raylet of one). All are on this machine: what Ray costs is seen, what a network costs is not.

    python -m benchmarks.cluster [--part pool vectors] [--engines local ray-1x2 ray-2x1 ray-1x1] [--documents 1000000]
                                 [--vectors 1000000 4000000 10000000] [--targets 1000] [--scratch FOLDER]

Each row is written to `results/cluster.json` when it is measured, in place of the one of the same part, N and engine, so that
it can be done in pieces. The seconds of a pass are the median over those of the whole pool.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.machine import machine
from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.execution.engine import Engine

if TYPE_CHECKING:
    from gotd_assets.transport import Potentials

RESULTS = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).parents[1]
RAYLETS = {"ray-1x2": [2], "ray-2x1": [1, 1], "ray-1x1": [1]}
ENGINES = ("local", *RAYLETS)
DIMENSION = 384
SHARD_ROWS = 50_000
MIB = 2**20


@contextlib.contextmanager
def engine_named(name: str) -> Iterator[Engine]:
    """The engine, on a cluster of its own."""
    if name == "local":
        from gotd_assets.execution.processes import LocalEngine

        yield LocalEngine(2)
        return
    from ray.cluster_utils import Cluster

    from gotd_assets.execution.ray_engine import ray_engine

    memory = 512 * MIB
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": memory}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for processors in RAYLETS[name]:
            cluster.add_node(num_cpus=processors, object_store_memory=memory)
        with ray_engine(address=cluster.address) as engine:
            yield engine
    finally:
        cluster.shutdown()


class Told:
    """An engine whose workers count the bytes that go to them and come back."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.workers, self.is_local = engine.name, engine.workers, engine.is_local
        self.sent = self.received = self.passes = 0
        self._engine = engine

    @contextlib.contextmanager
    def worker(self, function: Any, name: str) -> Iterator[Any]:
        """A worker of the engine."""
        with self._engine.worker(function, name) as worker:
            yield _ToldWorker(worker, self)


class _ToldWorker:
    def __init__(self, worker: Any, told: Told) -> None:
        self._worker, self._told = worker, told

    def compute(self, item: Any) -> Any:
        result = self._worker.compute(item)
        if isinstance(item, tuple) and item and item[0] in ("evaluate", "model"):
            from ray import cloudpickle

            self._told.sent += len(cloudpickle.dumps(item))
            self._told.received += len(cloudpickle.dumps(result))
            self._told.passes += 1
        return result


class TimedPasses:
    """Passes over `rows` rows, by any source, with their seconds."""

    def __init__(self, rows: int) -> None:
        self.seconds: list[float] = []
        self._rows = rows

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Passes of every source are timed for as long as the block takes."""
        from gotd_assets.transport.semidual import SemiDual

        kind: Any = SemiDual
        original = kind.__init__

        def made(oracle: Any, source: Any, *arguments: Any, **named: Any) -> None:
            original(oracle, source, *arguments, **named)
            if source.n_rows == self._rows:
                oracle._passes = _Timed(oracle._passes, self.seconds)

        kind.__init__ = made
        try:
            yield
        finally:
            kind.__init__ = original

    def as_row(self) -> dict[str, Any]:
        """Their median and number."""
        return {"pass_seconds": round(float(np.median(self.seconds)), 3), "timed_passes": len(self.seconds)}


class _Timed:
    def __init__(self, passes: Any, seconds: list[float]) -> None:
        self._passes, self._seconds = passes, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._passes, name)

    def evaluate(self, asked: Any) -> Iterator[Any]:
        return self._through(self._passes.evaluate(asked))

    def model(self, asked: Any, depth: float, every: int) -> Iterator[Any]:
        return self._through(self._passes.model(asked, depth, every))

    def _through(self, parts: Iterator[Any]) -> Iterator[Any]:
        started = time.perf_counter()
        yield from parts
        self._seconds.append(time.perf_counter() - started)


def run_vectors(home: Path, name: str, targets: int) -> dict[str, Any]:
    """A solve over the vectors in `home`."""
    from gotd_assets.embedding.vectors import unit_rows
    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.transport import Problem, make_sketch, solve
    from gotd_assets.transport.held import held_source

    points = unit_rows(np.random.default_rng(1).standard_normal((targets, DIMENSION)))
    sketch = make_sketch(points, method="all")
    pool = Pool.open({"random": home}, home / "left-out.parquet")
    timed = TimedPasses(pool.n_rows)
    with engine_named(name) as engine, timed.installed():
        before, started = _peak(), time.perf_counter()
        if engine.is_local:
            potentials = solve(pool.vectors, sketch, Problem(epsilon=0.0025))
            found, exchanged = _digest(potentials), {}
        else:
            told = Told(engine)
            with held_source(told, pool.vectors, sketch, Problem(epsilon=0.0025)) as source:
                potentials = solve(source, sketch, Problem(epsilon=0.0025))
                found = _digest(potentials)
            passes = max(1, told.passes // engine.workers)
            exchanged = {"sent": told.sent // passes, "received": told.received // passes}
        seconds = time.perf_counter() - started
    certificate = potentials.certificate
    return {
        "seconds": round(seconds, 2),
        **timed.as_row(),
        "passes": certificate.passes,
        "subsample_passes": certificate.subsample_passes,
        "driver_peak_mib": round(_peak() / MIB),
        "driver_grew_mib": round((_peak() - before) / MIB),
        "sha256": found,
        **{f"{what}_bytes_per_pass": size for what, size in exchanged.items()},
    }


def _digest(potentials: Potentials) -> str:
    """Of g, and of f shard by shard."""
    digest = hashlib.sha256(potentials.g.numpy().tobytes())
    if potentials.f is not None:
        for shard, length in zip(potentials.f.shards, potentials.f.lengths, strict=True):
            digest.update(shard[0:length].numpy().tobytes())
    return digest.hexdigest()


def run_pool(home: Path, name: str, targets: int) -> dict[str, Any]:
    """Documents to scores, with seconds of each step."""
    import polars as pl

    from gotd_assets.corpus.documents import read_documents
    from gotd_assets.corpus.duplicates.search import find_duplicates
    from gotd_assets.embedding.embed import embed_documents
    from gotd_assets.embedding.vectors import unit_rows
    from gotd_assets.selection.pool.left_out import write_left_out
    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.selection.scoring import write_scores
    from gotd_assets.settings.file import load_project
    from gotd_assets.transport import Problem, make_sketch, solve
    from gotd_assets.transport.held import held_source

    settings = load_project(home / "gotd.yaml").settings
    out = home / f"made-{name}"
    steps: dict[str, float] = {}

    @contextlib.contextmanager
    def step(what: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        steps[what] = round(time.perf_counter() - started, 2)

    with engine_named(name) as engine:
        with step("read"):
            read_documents(settings.source("pool"), settings.preparation, home, out / "documents", engine=engine)
        with step("duplicates"):
            documents = {"pool": out / "documents"}
            find_duplicates(documents, settings.duplicates, out / "duplicates.parquet", engine=engine)
            write_left_out(
                out / "duplicates.parquet", pl.Series([], dtype=pl.String), ["pool"], out / "left_out.parquet"
            )
        with step("embed"):
            (out / "vectors").mkdir()
            embed_documents(out / "documents", settings.encoder, home, out / "store", out / "vectors", engine=engine)
        pool = Pool.open({"pool": out / "vectors"}, out / "left_out.parquet")
        sketch = make_sketch(unit_rows(pool.take(np.arange(0, pool.n_rows, pool.n_rows // targets)[:targets])))
        problem = Problem(epsilon=0.05)
        timed = TimedPasses(pool.n_rows)
        with step("solve"), timed.installed():
            if engine.is_local:
                potentials = solve(pool.vectors, sketch, problem)
            else:
                with held_source(engine, pool.vectors, sketch, problem) as source:
                    potentials = solve(source, sketch, problem)
            potentials.save(out / "potentials.safetensors")
        with step("score"):
            write_scores(pool, potentials, out / "scores.parquet", engine=engine)
    made = sorted(
        path for path in out.rglob("*") if path.is_file() and "store" not in path.parts and path.name != "lock"
    )
    digest = hashlib.sha256()
    for path in made:
        digest.update(str(path.relative_to(out)).encode() + path.read_bytes())
    return {
        "seconds": round(sum(steps.values()), 2),
        **steps,
        **timed.as_row(),
        "passes": potentials.certificate.passes,
        "driver_peak_mib": round(_peak() / MIB),
        "sha256": digest.hexdigest(),
    }


def _peak() -> int:
    """Largest resident memory of this process until now, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_vectors(home: Path, count: int) -> None:
    """Unit vectors in float16, in shards as the pipeline writes them."""
    import polars as pl

    from gotd_assets.embedding.vectors import unit_rows

    home.mkdir(parents=True)
    for number, first in enumerate(range(0, count, SHARD_ROWS)):
        generator = np.random.default_rng(number)
        rows = unit_rows(generator.standard_normal((min(SHARD_ROWS, count - first), DIMENSION), dtype=np.float32))
        np.save(home / f"vectors-{number:05}.npy", rows.astype(np.float16))
        np.save(home / f"ids-{number:05}.npy", generator.integers(0, 256, (len(rows), 16), dtype=np.uint8))
    pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String}).write_parquet(home / "left-out.parquet")


def measured(home: Path, part: str, engine: str, targets: int) -> dict[str, Any]:
    """One engine on one part, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cluster", "--scratch", str(home), "--targets", str(targets)]
    print(f"{part}, {engine} …", flush=True)
    ran = subprocess.run([*command, "--one", part, engine], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    print(f"  {found}", flush=True)
    return found


def measure(
    home: Path, sizes: Sequence[tuple[str, int]], engines: Sequence[str], targets: int
) -> Iterator[dict[str, Any]]:
    """A row for each part, of so many documents or vectors, and engine."""
    for part, count in sizes:
        folder = home / f"{part}-{count}"
        if part == "pool":
            from benchmarks.corpus import prepare

            prepare(folder, count)
        else:
            write_vectors(folder, count)
        for engine in engines:
            yield {
                "part": part,
                "n": count,
                "engine": engine,
                "date": machine(())["date"],
                **measured(folder, part, engine, targets),
            }
        shutil.rmtree(folder)


def merged(report: dict[str, Any] | None, row: dict[str, Any], targets: int) -> dict[str, Any]:
    """`report` with `row` in place of what was measured of the same before; begun anew on another machine."""
    here = machine(("ray", "torch", "numpy"))
    same = ("processor", "cores", "versions")
    if report is None or any(report["machine"][name] != here[name] for name in same) or report["targets"] != targets:
        report = {"rows": []}
    what = ("part", "n", "engine")
    rows = [other for other in report["rows"] if any(other[name] != row[name] for name in what)]
    rows = sorted([*rows, row], key=lambda each: (each["part"], each["n"], ENGINES.index(each["engine"])))
    return {"machine": here, "targets": targets, "rows": rows}


def compared(report: dict[str, Any]) -> list[str]:
    """What is asked of the engines, where both sides were measured."""
    said = []
    found = {(row["part"], row["n"], row["engine"]): row for row in report["rows"]}
    for part, count in sorted({key[:2] for key in found}):
        for engine, base, words in (
            ("ray-1x2", "local", "Ray, one raylet of two processors, takes {:.2f} of the local engine's time"),
            ("ray-1x1", "ray-2x1", "two raylets of one are {:.2f} times as fast as one"),
        ):
            one, other = (found.get((part, count, name)) for name in (engine, base))
            if one is not None and other is not None:
                whole, by_pass = (one[name] / other[name] for name in ("seconds", "pass_seconds"))
                said.append(f"- {part}, {count:,}: {words.format(whole)} end to end, {by_pass:.2f} by pass.")
    return said


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    about = report["machine"]
    cells = []
    for row in report["rows"]:
        same = all(
            other["sha256"] == row["sha256"]
            for other in report["rows"]
            if (other["part"], other["n"]) == (row["part"], row["n"])
        )
        exchanged = (
            f"{row['sent_bytes_per_pass']:,} / {row['received_bytes_per_pass']:,}"
            if "sent_bytes_per_pass" in row
            else ""
        )
        steps = ", ".join(
            f"{name} {row[name]}" for name in ("read", "duplicates", "embed", "solve", "score") if name in row
        )
        cells.append(
            (
                row["part"],
                f"{row['n']:,}",
                row["engine"],
                str(row["seconds"]),
                str(row["pass_seconds"]),
                steps,
                exchanged,
                str(row["driver_peak_mib"]),
                "yes" if same else "NO",
            )
        )
    head = (
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['date']}; {report['targets']:,} target "
        "points (`make bench-cluster`)."
    )
    header = (
        "part",
        "N",
        "engine",
        "seconds",
        "seconds of a pass",
        "by step",
        "bytes of a pass, down / up",
        "driver's peak, MiB",
        "same bytes",
    )
    return "\n".join([head, "", *markdown_table(header, cells), "", *compared(report), ""])


def main() -> None:
    """Measure and write `results/cluster.json` and `results/cluster.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="*", choices=("pool", "vectors"), default=["pool", "vectors"])
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--vectors", type=int, nargs="*", default=[1_000_000, 4_000_000, 10_000_000])
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=2, metavar=("PART", "ENGINE"), help="for this program itself")
    given = parser.parse_args()
    if given.one:
        part, engine = given.one
        run = run_pool if part == "pool" else run_vectors
        print(json.dumps(run(given.scratch, engine, given.targets)))
        return
    sizes = [("pool", given.documents)] if "pool" in given.part else []
    sizes += [("vectors", count) for count in given.vectors] if "vectors" in given.part else []
    written = given.results / "cluster.json"
    report = json.loads(written.read_text()) if written.exists() else None
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        for row in measure(Path(scratch), sizes, given.engines, given.targets):
            report = merged(report, row, given.targets)
            written.write_text(json.dumps(report, indent=1) + "\n")
            (given.results / "cluster.md").write_text(table(report))
    if report is not None:
        print(table(report))


if __name__ == "__main__":
    main()
