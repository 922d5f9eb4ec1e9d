"""Figure 3 on text: a pool of 99 % news and 1 % film reviews out of a study's documents."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.study.figure_three import RARE_SHARE, TARGET, Experiment
from benchmarks.study.selecting import selection_settings, solved_problem
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.selection.pool.pool import Pool

if TYPE_CHECKING:
    from benchmarks.study.world import World
    from gotd_assets.selection.problem import SelectionProblem

COMMON, RARE = "news", "film"
METHODS = ("gotd", "gotd-debiased", "gotd-rounds", "tapt-c", "tsds", "dsir", "random")
_MOST = 10_000


def text_experiment(world: World, folder: Path, target: int = TARGET, seed: int = 0) -> Experiment:
    """As many of the world's news as a pool of 10,000 has, or as there are, and a hundredth of film reviews; cut to size.

    Args:
        world: a study's documents, with both domains among its targets'.
        folder: for a file that is needed as long as the experiment is.
        target: documents in every target.
        seed: of what is drawn.
    """
    from gotd_assets.selection.methods import method_named, select

    known = world.pool.doc_ids()
    common = known.filter(pl.col("source") == COMMON)
    size = min(_MOST, int(common.height / (1 - RARE_SHARE)))
    rare = round(size * RARE_SHARE)
    parts = [(common, size - rare), (known.filter(pl.col("source") == RARE), rare)]
    chosen = pl.concat(part.sort("doc_id").sample(count, seed=seed) for part, count in parts)
    vectors = {domain: world.folder / "vectors" / "pool" / domain for domain in (COMMON, RARE)}
    everything = pl.concat(
        open_vectors(path).all_doc_ids().to_frame("doc_id").with_columns(source=pl.lit(domain))
        for domain, path in vectors.items()
    )
    everything.join(chosen, on=["doc_id", "source"], how="anti").write_parquet(folder / "left_out.parquet")
    pool = Pool.open(vectors, folder / "left_out.parquet")
    return Experiment(
        rare="film reviews",
        methods=METHODS,
        budgets=tuple(round(size * share) for share in (0.001, 0.0025, 0.005, 0.01)),
        budget=round(size * 0.005),
        is_rare=pool.doc_ids().select("doc_id", rare=pl.col("source") == RARE),
        pose=lambda mixture: _problem(world, pool, target, mixture, seed),
        choose=lambda method, problem, _: select(method, problem).sort("rank").get_column("doc_id"),
        nested=frozenset(name for name in METHODS if method_named(name).nested),
    )


def _problem(world: World, pool: Pool, size: int, mixture: float, seed: int) -> SelectionProblem:
    from gotd_assets.transport import make_sketch

    rare = round(size * mixture)
    sample, target = world.draw_target({COMMON: size - rare, RARE: rare}, seed)
    problem = solved_problem(
        pool,
        target,
        make_sketch(target, method="all"),
        epsilon=world.plan.epsilon,
        seed=seed,
        settings=selection_settings(world.plan),
    )
    documents = {domain: world.documents[domain] for domain in (COMMON, RARE)}
    return dataclasses.replace(problem, documents=documents, target_texts=sample.get_column("text"))
