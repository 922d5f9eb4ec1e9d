"""A world of a few hundred documents of made-up words, with a tiny random language model."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.study.plan import Plan, Target
from benchmarks.study.world import World
from gotd_assets.embedding.store import id_bytes
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.pool.pool import Pool
from gotd_assets_tests.models import tiny
from gotd_assets_tests.selection.pools import no_duplicates, write_documents

DIMENSION = 8
SIZES = {"common": 120, "other": 60, "rare": 20}

PLAN = Plan(
    name="test",
    pool=SIZES,
    targets=(Target("rare", ("rare",), "rare"), Target("both", ("common", "rare"), "rare")),
    methods=("gotd", "random", "dsir", "tapt-c"),
    budgets=(5, 10),
    training_budget=10,
    seeds=2,
    target_documents=12,
    heldout_documents=8,
    pretraining_documents=16,
    regimes=("as-it-comes", "trained-on-pool"),
    max_tokens=16,
    trainable_layers=1,
    sketch=6,
)


def make_world(folder: Path, plan: Plan = PLAN) -> World:
    """Domains lie in directions of their own and use words of their own."""
    random = np.random.default_rng(0)
    for number, (domain, size) in enumerate(plan.pool.items()):
        words = tiny.WORDS[number * 30 : number * 30 + 30]
        for side, count in (("pool", size), ("target", 20), ("heldout", 10)):
            texts = [f"{' '.join(random.choice(words, 12))} {side} {row}" for row in range(count)]
            write_documents(folder / "corpus" / side / domain, domain, texts)
            centre = np.eye(DIMENSION)[number]
            vectors = centre + 0.3 * random.standard_normal((count, DIMENSION))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            place = folder / "vectors" / side / domain
            place.mkdir(parents=True)
            np.save(place / "vectors-00000.npy", vectors.astype(np.float32))
            np.save(place / "ids-00000.npy", id_bytes(pl.Series([document_id(text) for text in texts])))
    pl.DataFrame(schema={"doc_id": pl.String}).write_parquet(folder / "heldout_left_out.parquet")
    no_duplicates(folder)
    tiny.model_folder(folder / "model", "llama")
    return open_world(folder, plan)


def open_world(folder: Path, plan: Plan = PLAN) -> World:
    """What `make_world` wrote."""
    return World(
        plan=plan,
        version="made up",
        folder=folder,
        documents={domain: folder / "corpus" / "pool" / domain for domain in plan.pool},
        pool=Pool.open(
            {domain: folder / "vectors" / "pool" / domain for domain in plan.pool}, folder / "duplicates.parquet"
        ),
        language_model=folder / "model",
        models=folder / "models",
    )


def with_seeds(world: World, seeds: int) -> World:
    return dataclasses.replace(world, plan=dataclasses.replace(world.plan, seeds=seeds))
