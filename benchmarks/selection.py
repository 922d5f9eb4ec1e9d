"""From files to a selection: this project beside DSIR's own package and what else a user would pick, in one run.

The same pool and target for all (`benchmarks/corpus_pool.py`: about 1 KB each as JSON Lines), the same number of
documents to choose, each way a process of its own with all processors:

- **DSIR**: the authors' package `data-selection` with its defaults: fit, weights, resampling;
- **gotd-assets**: `select` on the same files with a home: reading, quarantine, duplicates, texts of the target, static
  vectors, transport, selection, checks, checksums and lineage; then another method with that home;
- **sentence-transformers**: the same static embeddings as its `StaticEmbedding`, and `semantic_search` of the target;
- **TSDS**: its published algorithm over those vectors, nearest neighbours by faiss; its authors publish no package, so
  that the plan and the kernel density are this project's (`gotd_assets.selection.methods.tsds`);
- with a transformer (all-MiniLM-L6-v2), on as few documents as that bears: sentence-transformers, and ours.

    python -m benchmarks.selection [--documents 1000000] [--few 4000] [--scratch FOLDER]

Seconds are of the way, with the libraries that it loads; processor seconds are those of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Nothing is looked for at a model hub: models are folders.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from benchmarks.corpus import prepare
from benchmarks.machine import machine
from benchmarks.steps import measured
from gotd_assets.catalogue.tables import markdown_table

RESULTS = Path(__file__).parent / "results"
BUDGET = 1000
MAX_TOKENS = 256
Array = np.ndarray[Any, Any]


def dsir(home: Path) -> int:
    """Importance resampling by its authors' package."""
    from data_selection import HashedNgramDSIR

    pool, target = files(home)
    chosen = HashedNgramDSIR([str(path) for path in pool], [str(target)], cache_dir=str(home / "dsir" / "cache"))
    chosen.fit_importance_estimator()
    chosen.compute_importance_weights()
    chosen.resample(out_dir=str(home / "dsir" / "out"), num_to_sample=BUDGET, cache_dir=str(home / "dsir" / "chosen"))
    return sum(len(path.read_text().splitlines()) for path in (home / "dsir" / "out").rglob("*.jsonl"))


def ours(home: Path, method: str, encoder: dict[str, Any] | str) -> int:
    """This project, with what earlier calls left in its home."""
    from gotd_assets import select

    pool, target = files(home)
    sources = {"pool": pool[:-1], "copies": pool[-1]}
    chosen = select(sources, target, BUDGET, encoder=encoder, method=method, home=home / "home", progress=False)
    return len(chosen.frame)


def semantic(home: Path, model: Any) -> int:
    """The documents that are the nearest to some text of the target, by sentence-transformers."""
    from sentence_transformers.util import semantic_search

    vectors, target = (
        model.encode(texts, batch_size=64, convert_to_tensor=True, show_progress_bar=False) for texts in texts_of(home)
    )
    best: dict[int, float] = {}
    for hits in semantic_search(target, vectors, top_k=BUDGET):
        for hit in hits:
            row = int(hit["corpus_id"])
            best[row] = max(best.get(row, -1.0), hit["score"])
    return len(sorted(best, key=best.__getitem__)[-BUDGET:])


def tsds(home: Path) -> int:
    """The draw by TSDS' plan over vectors of sentence-transformers, with the settings that this project has for it."""
    import faiss

    from gotd_assets.selection.methods.tsds import assignment, kernel_density
    from gotd_assets.settings.selection import TsdsSettings

    vectors, target = (static(home).encode(texts, show_progress_bar=False) for texts in texts_of(home))
    said = TsdsSettings()
    squared, neighbours = faiss.knn(target, vectors, min(said.neighbours, len(vectors)))
    used, place = np.unique(neighbours, return_inverse=True)
    density = kernel_density(vectors[used], said.sigma, said.density_neighbours) if said.sigma else np.ones(len(used))
    distances = np.sqrt(np.maximum(squared.astype(np.float64), 0))
    plan = assignment(distances, density[place].reshape(neighbours.shape), said.alpha, said.scale)
    probability = np.bincount(place.ravel(), plan.ravel(), minlength=len(used))
    drawn = np.log(probability[probability > 0])
    drawn += np.random.default_rng(0).gumbel(size=len(drawn))
    return len(np.argsort(drawn)[-BUDGET:])


def static(home: Path) -> Any:
    """The static embeddings of ours as an encoder of sentence-transformers."""
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(home / "encoder" / "tokenizer.json"))
    weights = load_file(home / "encoder" / "model.safetensors")["embeddings"]
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")


def transformer(home: Path) -> Any:
    """all-MiniLM-L6-v2 in sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(minilm(home)), device="cpu")
    loaded.max_seq_length = MAX_TOKENS
    return loaded


def minilm(home: Path) -> Path:
    """The folder of the transformer."""
    return next((home / "minilm").rglob("config.json")).parent


def files(home: Path) -> tuple[list[Path], Path]:
    """Files of the pool, the second source last, and that of the target."""
    data = home / "data"
    return [*sorted(data.glob("pool-*.jsonl")), data / "copies.jsonl"], data / "target.jsonl"


def texts_of(home: Path) -> tuple[list[str], list[str]]:
    """Texts of the pool and of the target."""
    import orjson

    pool, target = files(home)
    read = [[orjson.loads(line)["text"] for line in path.open("rb")] for path in [*pool, target]]
    return [text for texts in read[:-1] for text in texts], read[-1]


WAYS: dict[str, Callable[[Path], int]] = {
    "DSIR, its authors' package": dsir,
    "gotd-assets, static vectors": lambda home: ours(home, "gotd", str(home / "encoder")),
    "gotd-assets, another method then": lambda home: ours(home, "tapt-c", str(home / "encoder")),
    "sentence-transformers, static, semantic search": lambda home: semantic(home, static(home)),
    "TSDS over sentence-transformers, static": tsds,
}
FEW: dict[str, Callable[[Path], int]] = {
    "sentence-transformers, MiniLM, semantic search": lambda home: semantic(home, transformer(home)),
    "gotd-assets, MiniLM": lambda home: ours(
        home, "gotd", {"model": str(minilm(home)), "max_tokens": MAX_TOKENS, "device": "cpu"}
    ),
}


def take(home: Path, name: str) -> dict[str, Any]:
    """One way: how many documents it chose, and its seconds."""
    started = time.perf_counter()
    chosen = {**WAYS, **FEW}[name](home)
    return {"chosen": chosen, "seconds": time.perf_counter() - started}


def measure(scratch: Path, documents: int, few: int, given_up: int) -> list[dict[str, Any]]:
    """Every way, or what it lacked."""
    rows = []
    for number, (size, ways) in enumerate(((documents, WAYS), (few, FEW))):
        if not size:
            continue
        home = scratch / str(number)
        home.mkdir()
        prepare(home, size)
        for name in ways:
            if size > given_up and name.startswith(("sentence-transformers", "TSDS")):
                rows.append(
                    {"way": name, "documents": size, "failed": f"not tried on more than {given_up:,} documents"}
                )
                continue
            rows.append({"way": name, "documents": size, **measured("benchmarks.selection", home, name)})
        shutil.rmtree(home)
    return rows


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rows, first = [], report["rows"][0]
    for row in report["rows"]:
        if "failed" in row:
            rows.append((row["way"], f"{row['documents']:,}", row["failed"], *[""] * 4))
            continue
        beside = row["documents"] == first["documents"]
        shares = [f"{row[kind] / first[kind]:.2f}" if beside else "–" for kind in ("seconds", "processor_seconds")]
        figures = (f"{row['seconds']:.1f}", f"{row['processor_seconds']:.1f}", *shares, f"{row['peak_mib']:,}")
        rows.append((row["way"], f"{row['documents']:,}", *figures))
    header = (
        "way",
        "documents",
        "seconds",
        "processor seconds",
        "of DSIR's seconds",
        "of its processor's",
        "peak, MiB",
    )
    return "\n".join([f"{BUDGET:,} documents chosen (`{report['command']}`).", "", *markdown_table(header, rows), ""])


def main() -> None:
    """Measure, write the results, print the table; or, with --step, take one way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=4000, help="documents of the ways with a transformer; 0 for none")
    parser.add_argument("--most-peers", type=int, default=200_000, help="that peers that hold all texts are given")
    parser.add_argument("--scratch", type=Path, default=None, help="a folder that does not exist yet")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(take(arguments.scratch, arguments.step)))
        return
    scratch = arguments.scratch or Path(tempfile.mkdtemp(prefix="gotd-bench-selection-"))
    try:
        scratch.mkdir(parents=True, exist_ok=arguments.scratch is None)
        rows = measure(scratch.resolve(), arguments.documents, arguments.few, arguments.most_peers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    packages = ("data-selection", "sentence-transformers", "faiss-cpu", "polars", "tokenizers", "torch")
    report = {
        "machine": machine(packages),
        "command": f"python -m benchmarks.selection --documents {arguments.documents} --few {arguments.few}",
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "selection.json").write_text(json.dumps(report, indent=1) + "\n")
    text = table(report)
    (RESULTS / "selection.md").write_text(f"{json.dumps(report['machine'])}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
