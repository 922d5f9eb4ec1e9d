"""What a pool of many documents takes: shards, storage, memory, network and hours, from rates that were measured here.

    python -m benchmarks.plan [--nodes 10] [--processors 16] [--targets 1000]

Rates are read from `benchmarks/results/`: processor seconds per document of the steps in `corpus.json` (a million
documents of 1 KB), of the solver in `transport.json` (a million vectors of 384 numbers), and of the transformer in
`embedding.json`. The one formula is

    hours = documents × processor seconds per document / (nodes × processors) / 3600

for steps that the cluster shares, with one processor instead for what the step alone does. It takes for granted that work
is shared evenly and that the disk keeps up; no figure in it was measured on more than one machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.corpus.shards import SHARD_ROWS

RESULTS = Path(__file__).parent / "results"
SIZES = (10**7, 10**8, 10**9)
DIMENSION, VECTOR_BYTES, ID_BYTES = 384, 2, 16
# Of the step's own memory for each document, by what is made there: digests of the texts of a source that were read, and of
# documents that have a vector (`python -m benchmarks.step_memory`); a selection's frame (doc_id as text, source, score, and
# what sorting copies), for methods that do not go part by part.
STEP_BYTES = {
    "texts read of a source": 25,
    "documents that have a vector": 26,
    "potential of the pool": 4,
    "selection": 120,
}
# Of a worker that looks for equal keys in a range of them, the same at four and at eight million documents (the same command, step "exact").
RANGE_BYTES = 135 * 2**20
# On the disk of the step: of doc_ids, then of the keys of a text at the default threshold, with a row each.
KEY_BYTES = max(16 + 4, 18 * (8 + 4))
BLOCK_BYTES, MOST_PARTS = 8 * 2**20, 2048
FEW_ENTRIES, MOST_ENTRIES = 16, 24_000_000
GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Rate:
    """Processor seconds that a step takes for each document, and which measurement says so."""

    step: str
    seconds: float
    source: str


def rates(targets: int) -> list[Rate]:
    """The measured ones, in the order of the data."""
    corpus, embedding, transport = (_results(name) for name in ("corpus", "embedding", "transport"))
    steps, documents = corpus["steps"], corpus["documents"]
    found = [
        Rate(name, steps[key]["processor_seconds"] / documents, f"corpus.json, {key}")
        for name, key in (
            ("read and clean", "raw_candidates[pool]"),
            ("duplicates", "candidate_pool"),
            ("embed, static", "candidate_embeddings[pool]"),
            ("contamination", "find_contamination"),
        )
    ]
    transformer = embedding["rows"]["gotd-assets, bfloat16"]["documents_per_second"]
    cores = embedding["machine"]["cores"]
    found.insert(3, Rate("embed, MiniLM on processors", cores / transformer, "embedding.json, gotd-assets, bfloat16"))
    for name, solver in (("solve", "gotd-assets"), ("score", "one pass")):
        row = _row(transport, solver, targets)
        seconds = row["seconds"] * transport["machine"]["cores"] / row["n"]
        found.append(Rate(name, seconds, f"transport.json, {solver}, {row['n']:,} × {row['m']:,}"))
    return found


def _results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def _row(transport: dict[str, Any], solver: str, targets: int) -> dict[str, Any]:
    rows = [row for row in transport["rows"] if row["solver"] == solver and row["m"] == targets and "seconds" in row]
    if not rows:
        raise SystemExit(f"transport.json has no row of {solver} with {targets:,} targets")
    return max(rows, key=lambda row: (row["problem"] == "isotropic", row["n"]))


def pass_bytes(documents: int, targets: int, holders: int) -> int:
    """What a pass of a solve sends: M numbers to every holder, and 2M + 1 of every part back."""
    rows = BLOCK_BYTES // (4 * targets)
    size = rows * max(8, -(-documents // (rows * MOST_PARTS)))
    # A part lies within a shard.
    parts = -(-documents // min(size, SHARD_ROWS))
    return holders * targets * 4 + parts * (2 * targets + 1) * 8


def model_bytes(documents: int) -> int:
    """What a pass for a model of entries brings besides, at most: of every k-th row, 16 entries on average and three numbers."""
    every = max(1, -(-documents * FEW_ENTRIES // MOST_ENTRIES))
    return -(-documents // every) * (FEW_ENTRIES * 8 + 24)


def table(nodes: int, processors: int, targets: int) -> str:
    """All of it as Markdown."""
    corpus = _results("corpus")
    text = corpus["pool"]["size"] / corpus["documents"]
    vector = DIMENSION * VECTOR_BYTES + ID_BYTES
    rows = [
        ["shards of documents, and of vectors", *(f"{-(-n // SHARD_ROWS):,}" for n in SIZES)],
        ["text, uncompressed", *(_size(n * text) for n in SIZES)],
        [f"vectors, {DIMENSION} × float16", *(_size(n * vector) for n in SIZES)],
        ["vectors on each node, in its page cache", *(_size(n * vector / nodes) for n in SIZES)],
        *([f"memory of the step: {name}", *(_size(n * size) for n in SIZES)] for name, size in STEP_BYTES.items()),
        ["memory of a worker: a range of keys, for duplicates", *(_size(RANGE_BYTES) for n in SIZES)],
        ["disk of the step meanwhile: keys of duplicates", *(_size(n * KEY_BYTES) for n in SIZES)],
        ["network, a pass of a solve", *(_size(pass_bytes(n, targets, nodes)) for n in SIZES)],
        [
            "network, a pass that brings the plan's entries",
            *(_size(pass_bytes(n, targets, nodes) + model_bytes(n)) for n in SIZES),
        ],
        ["network, scoring", *(_size(n * 56) for n in SIZES)],
    ]
    for rate in rates(targets):
        hours = (n * rate.seconds / (nodes * processors) / 3600 for n in SIZES)
        rows.append([f"hours: {rate.step} ({rate.source})", *(f"{each:.2g}" for each in hours)])
    header = ("", *(f"{n:,} documents" for n in SIZES))
    head = f"{nodes} nodes of {processors} processors, {targets:,} target points (`python -m benchmarks.plan`)."
    return "\n".join([head, "", *markdown_table(header, rows), ""])


def _size(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / 2**20:,.0f} MiB"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--processors", type=int, default=16)
    parser.add_argument("--targets", type=int, default=1000)
    given = parser.parse_args()
    print(table(given.nodes, given.processors, given.targets))


if __name__ == "__main__":
    main()
