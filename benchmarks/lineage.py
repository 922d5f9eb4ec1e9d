"""How fast the lineage database records and answers, at the size of a year of use.

Builds a database of 100 selections of 150,000 members each over a pool of a million candidates, every candidate's score
recorded for every selection, a trained model per selection; then asks every audit, each from a fresh connection as
`gotd audit` does, and prints the median and the slowest of several answers.

    python benchmarks/lineage.py [--selections 100] [--pool 1000000] [--members 150000] [--home DIRECTORY]
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from gotd_assets.lineage import LineageStore, Materialisation, SourceFile, Training
from gotd_assets.storage import ArtifactFile

SOURCES = 8
FILES = 25  # per source
TARGETS = 10
REPEATS = 5
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def pool(size: int, generator: np.random.Generator) -> pl.DataFrame:
    """`size` candidates with random doc_ids: doc_id, source, origin."""
    digits = generator.bytes(16 * size).hex()
    source = generator.integers(0, SOURCES, size)
    file = generator.integers(0, FILES, size)
    return pl.DataFrame(
        {
            "doc_id": [digits[start : start + 32] for start in range(0, 32 * size, 32)],
            "source": [f"source-{number}" for number in source],
            "origin": [
                f"/data/source-{s}/part-{f:04d}.jsonl.gz:{row}"
                for row, (s, f) in enumerate(zip(source, file, strict=True))
            ],
        }
    )


def version(*parts: object) -> str:
    """A made-up version that does not look like others."""
    return duckdb.execute("SELECT md5($1)", [repr(parts)]).fetchall()[0][0]


def build(store: LineageStore, arguments: argparse.Namespace) -> tuple[pl.DataFrame, list[float]]:
    """Fill the database; returns the pool and the seconds it took to record each selection with its scores."""
    generator = np.random.default_rng(0)
    documents = pool(arguments.pool, generator)
    packages = {f"package-{number}": f"1.{number}" for number in range(150)}
    pools = {}
    known = set(store.audit("selection_history")["selection_version"])
    started = time.perf_counter()
    for number in range(SOURCES):
        name = f"source-{number}"
        pools[f"raw_candidates[{name}]"] = version(name)
        store.record(
            Materialisation(
                asset="raw_candidates",
                partition=name,
                version=version(name),
                code_version="1",
                documents=documents.filter(pl.col("source") == name),
                source_files=[
                    SourceFile(f"/data/{name}/part-{file:04d}.jsonl.gz", 10**8, version(name, file) * 2)
                    for file in range(FILES)
                ],
                packages=packages,
                created_at=START,
                run_id="ingest",
            )
        )
    print(f"recorded a pool of {arguments.pool:,} in {time.perf_counter() - started:.1f} s", flush=True)
    seconds = []
    base = generator.standard_normal(arguments.pool).astype(np.float32)
    for number in range(arguments.selections):
        target, revision = f"target-{number % TARGETS}", number // TARGETS
        if version("selected_subset", f"{target}/gotd", revision) in known:
            continue
        noise = 0.3 * np.random.default_rng(number + 1).standard_normal(arguments.pool).astype(np.float32)
        scored = documents.with_columns(pl.Series("score", base + noise))
        chosen = scored.sort("score", "doc_id").head(arguments.members).with_row_index("rank", offset=1)
        started = time.perf_counter()
        record_chain(
            store, target=target, revision=revision, pools=pools, scored=scored, chosen=chosen, packages=packages
        )
        seconds.append(time.perf_counter() - started)
        if number % 10 == 9:
            size = store.path.stat().st_size / 2**20
            print(f"{number + 1} selections: {size:,.0f} MiB, the last took {seconds[-1]:.1f} s", flush=True)
    return documents, seconds


def record_chain(
    store: LineageStore,
    *,
    target: str,
    revision: int,
    pools: dict[str, str],
    scored: pl.DataFrame,
    chosen: pl.DataFrame,
    packages: dict[str, str],
) -> None:
    """Record one reselection as the pipeline does: target, potentials, scores, selection, model."""
    now = START + dt.timedelta(days=revision)
    previous: dict[str, str] = {}
    stages: list[tuple[str, str, dict[str, object]]] = [
        (
            "target_documents",
            target,
            {"source_files": [SourceFile(f"/targets/{target}.jsonl", 10**6, version(revision) * 2)]},
        ),
        ("ot_potentials", target, {"inputs": pools}),
        ("candidate_scores", target, {"inputs": pools, "scores": scored}),
        ("selected_subset", f"{target}/gotd", {"members": chosen}),
        ("pre_fine_tuned_model", f"{target}/gotd", {"training": Training(version("mlflow", target, revision), seed=0)}),
    ]
    for asset, partition, more in stages:
        identity = version(asset, partition, revision)
        inputs = {**previous, **more.pop("inputs", {})}
        store.record(
            Materialisation(
                asset=asset,
                partition=partition,
                version=identity,
                code_version="1",
                parameters={"epsilon": 0.05, "seed": 0, "budget": chosen.height},
                inputs=inputs,
                files=[ArtifactFile("data.parquet", 10**7, identity * 2)],
                created_at=now,
                run_id=f"run-{target}-{revision}",
                packages=packages,
                conditions={f"condition-{number}": "a value" for number in range(15)},
                **more,
            )
        )
        previous = {f"{asset}[{partition}]": identity}


def questions(documents: pl.DataFrame, arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Every audit with parameters that make it work hard."""
    document = documents["doc_id"][arguments.pool // 3]
    last = (arguments.selections - 1) // TARGETS
    newest = version("selected_subset", "target-0/gotd", last)
    oldest = version("selected_subset", "target-0/gotd", 0)
    file = "/data/source-3/part-0007.jsonl.gz"
    given: dict[str, dict[str, object]] = {
        "why_document": {"document": document},
        "document_reach": {"document": document},
        "removal_request": {"document": document},
        "source_reach": {"source": "source-3"},
        "file_reach": {"file": file},
        "selection_difference": {"earlier": oldest, "later": newest},
        "difference_causes": {"earlier": oldest, "later": newest},
        "model_origin": {"model": version("mlflow", "target-0", last)},
        "selection_members": {"selection": newest},
        "selection_sources": {"selection": newest},
        "artifact_reach": {"version": version("source-3")},
        "run_materialisations": {"run": f"run-target-0-{last}"},
    }
    return given


def main() -> None:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--selections", type=int, default=100)
    parser.add_argument("--pool", type=int, default=1_000_000)
    parser.add_argument("--members", type=int, default=150_000)
    parser.add_argument("--home", type=Path, help="build here, or go on with what was built here, and keep it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.home or Path(temporary)
        store = LineageStore(home / "lineage.duckdb")
        documents, seconds = build(store, arguments)
        size = store.path.stat().st_size
        print(
            f"\n{platform.machine()}, {os.cpu_count()} cores, duckdb {duckdb.__version__}, {dt.datetime.now(dt.UTC).date()}"
        )
        print(
            f"{arguments.selections} selections of {arguments.members:,} members over a pool of {arguments.pool:,}, "
            f"scores of every candidate for each: {size / 2**20:,.0f} MiB"
        )
        if seconds:
            print(f"recording one reselection: median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s")
        print(f"\n{'audit':24} {'rows':>9} {'median s':>9} {'slowest s':>10}")
        given = questions(documents, arguments)
        for audit in store.audits():
            times = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                rows = store.audit(audit.name, **given.get(audit.name, {})).height
                times.append(time.perf_counter() - started)
            print(f"{audit.name:24} {rows:9,} {statistics.median(times):9.3f} {max(times):10.3f}", flush=True)


if __name__ == "__main__":
    main()
