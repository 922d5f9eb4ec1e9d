"""How fast the lineage database records and answers, at the size of a year of use.

Builds a database of 100 selections of 150,000 members each over a pool of a million candidates, every candidate's score
recorded for every selection, a trained model per selection; then one source changes and one document is forgotten, so
that everything is stale. Every audit is asked, each time from a fresh connection as `gotd audit` does; the median and the
slowest of several answers are printed and written to benchmarks/results/lineage.json and .md.

    python -m benchmarks.lineage [--selections 100] [--pool 1000000] [--members 150000] [--home DIRECTORY]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from benchmarks.machine import machine
from gotd_assets.artifacts.artifact import ArtifactFile
from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.lineage import LineageStore, Materialisation, SourceFile, Training

SOURCES = 8
FILES = 25  # per source
TARGETS = 10
REPEATS = 5
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
RESULTS = Path(__file__).parent / "results"
CHANGED_SOURCE = "source-3"


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


def build(store: LineageStore, arguments: argparse.Namespace) -> tuple[str, list[float]]:
    """Fill the database.

    Returns:
        doc_id of the document that scores best, in every selection therefore, whose removal is asked for at the end; and
        the seconds it took to record each selection with its scores.
    """
    generator = np.random.default_rng(0)
    documents = pool(arguments.pool, generator)
    packages = {f"package-{number}": f"1.{number}" for number in range(150)}
    pools = {}
    known = set(store.audit("selection_history")["selection_version"])
    started = time.perf_counter()
    for number in range(SOURCES):
        name = f"source-{number}"
        pools[f"raw_candidates[{name}]"] = version(name)
        record_source(store, name, documents.filter(pl.col("source") == name), packages)
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
    # A part of a source is gone, and somebody asked for a removal: what was made before is out of date.
    kept = documents.filter(pl.col("source") == CHANGED_SOURCE)[1000:]
    record_source(store, CHANGED_SOURCE, kept, packages, days=1 + arguments.selections // TARGETS)
    best = str(documents["doc_id"][int(base.argmin())])
    store.forget([best], "the author asked")
    return best, seconds


def record_source(
    store: LineageStore, name: str, documents: pl.DataFrame, packages: dict[str, str], days: int = 0
) -> None:
    """Record a source as it was read so many days after the start."""
    revised = (days,) if days else ()
    store.record(
        Materialisation(
            asset="raw_candidates",
            partition=name,
            version=version(name, *revised),
            code_version="1",
            documents=documents,
            source_files=[
                SourceFile(f"/data/{name}/part-{file:04d}.jsonl.gz", 10**8, version(name, file, *revised) * 2)
                for file in range(FILES)
            ],
            packages=packages,
            created_at=START + dt.timedelta(days=days),
            run_id="ingest",
        )
    )


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
    stages: list[tuple[str, str, dict[str, Any]]] = [
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


def questions(document: str, arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Every audit with parameters that make it work hard; questions about a document ask about `document`."""
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


def measure(store: LineageStore, document: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Ask every audit several times."""
    given = questions(document, arguments)
    rows = []
    for audit in store.audits():
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            height = store.audit(audit.name, **given.get(audit.name, {})).height
            times.append(time.perf_counter() - started)
        rows.append(
            {"audit": audit.name, "rows": height, "median_s": statistics.median(times), "slowest_s": max(times)}
        )
        print(f"{audit.name}: {rows[-1]['median_s']:.3f} s", flush=True)
    return rows


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    recording = report["recording_s"]
    over = [row["audit"] for row in report["audits"] if row["median_s"] >= 1]
    lines = [
        (
            f"{report['selections']} selections of {report['members']:,} members over a pool of {report['pool']:,} "
            f"candidates, the score of every candidate recorded for each: {report['mib']:,.0f} MiB. Median and slowest of "
            f"{REPEATS} answers, each from a fresh connection, result as a polars frame included. Load average when asking "
            f"began: {report['load_average']:.1f}."
        ),
        "",
        *markdown_table(
            ("audit", "rows", "median s", "slowest s"),
            (
                (f"`{row['audit']}`", f"{row['rows']:,}", f"{row['median_s']:.3f}", f"{row['slowest_s']:.3f}")
                for row in report["audits"]
            ),
        ),
        f"A second or more: {', '.join(over)}." if over else "Every median is under a second.",
    ]
    if recording:
        lines.append(
            f"Recording one reselection: median {recording['median']:.2f} s, slowest {recording['slowest']:.2f} s."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Build, ask, write the results, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--selections", type=int, default=100)
    parser.add_argument("--pool", type=int, default=1_000_000)
    parser.add_argument("--members", type=int, default=150_000)
    parser.add_argument("--home", type=Path, help="build here, or go on with what was built here, and keep it")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for lineage.json and lineage.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = LineageStore((arguments.home or Path(temporary)) / "lineage.duckdb")
        document, seconds = build(store, arguments)
        report = {
            "machine": machine(["duckdb", "polars"]),
            "selections": arguments.selections,
            "members": arguments.members,
            "pool": arguments.pool,
            "mib": store.path.stat().st_size / 2**20,
            "recording_s": {"median": statistics.median(seconds), "slowest": max(seconds)} if seconds else None,
            "load_average": os.getloadavg()[0],
            "audits": measure(store, document, arguments),
        }
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "lineage.json").write_text(json.dumps(report, indent=1) + "\n")
    text = table(report)
    (arguments.results / "lineage.md").write_text(f"{json.dumps(report['machine'])}\n\n{text}")
    print(f"\n{text}")


if __name__ == "__main__":
    main()
