"""Reading JSON Lines to clean shards, beside DuckDB's own JSON-to-Parquet copy of the same file, in one run.

    python benchmarks/corpus.py [documents] [characters]

Texts are random words: the figure is about speed, not language.
"""

import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from gotd_assets.corpus import find_duplicates, read_documents
from gotd_assets.settings import DuplicateSettings, PreparationSettings, SourceSettings


def main() -> None:
    """Print seconds of each and their ratio."""
    documents, characters = (int(value) for value in (sys.argv[1:] + ["100000", "1000"][len(sys.argv) - 1 :])[:2])
    rng = random.Random(0)  # noqa: S311 - no secret
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(20_000)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool = folder / "pool.jsonl"
        with pool.open("w") as file:
            for row in range(documents):
                text = " ".join(rng.choices(words, k=characters // 6))
                file.write(json.dumps({"text": text, "id": row}) + "\n")
        start = time.perf_counter()
        duckdb.execute(f"COPY (FROM read_json('{pool}')) TO '{folder / 'copy.parquet'}' (FORMAT parquet, CODEC zstd)")
        copied = time.perf_counter() - start
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        (folder / "out").mkdir()
        read_documents(SourceSettings(name="pool", path=pool), PreparationSettings(), folder, folder / "out")
        read = time.perf_counter() - start
        start = time.perf_counter()
        find_duplicates({"pool": folder / "out"}, DuplicateSettings(), folder / "duplicates.parquet")
        near = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{documents:,} documents of about {characters} characters")
    print(f"DuckDB copy {copied:.2f} s, read_documents {read:.2f} s: {copied / read:.2f} of DuckDB's speed")
    print(f"find_duplicates (near) {near:.2f} s, {documents / near:,.0f} documents per second")
    print(f"peak resident memory {peak:,.0f} MiB ({before:,.0f} MiB before read_documents)")


if __name__ == "__main__":
    main()
