"""Figure 3 on text: a pool of 99 % news and 1 % film reviews out of a study's documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from benchmarks.study.figure_three import RARE_SHARE, TARGET, Experiment, solved_problem
from benchmarks.study.project import embed
from gotd_assets.corpus.shards import ShardWriter, scan_documents
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets.selection.pool.pool import Pool, vectors_of

if TYPE_CHECKING:
    from benchmarks.study.project import Study
    from gotd_assets.embedding.vectors import VectorShards
    from gotd_assets.selection.problem import SelectionProblem

COMMON, RARE = "news", "film"
METHODS = ("gotd", "gotd-debiased", "gotd-rounds", "tapt-c", "tsds", "dsir", "random")
_MOST = 10_000


@dataclasses.dataclass(frozen=True)
class _Sides:
    """The pool of the experiment, and what targets are drawn from by domain: doc_id and text, and vectors."""

    pool: Pool
    documents: Mapping[str, Path]
    targets: Mapping[str, tuple[pl.DataFrame, VectorShards]]


def text_experiment(study: Study, folder: Path, target: int = TARGET, seed: int = 0) -> Experiment:
    """As many of the study's news as a pool of 10,000 has, or as there are, and a hundredth of film reviews; cut to size.

    Args:
        study: with both domains among its targets'.
        folder: for files that are needed as long as the experiment is.
        target: documents in every target.
        seed: of what is drawn.
    """
    from gotd_assets.selection.methods import method_named, select

    sides = _sides(study, folder, seed)
    size = sides.pool.doc_ids().height
    return Experiment(
        rare="film reviews",
        methods=METHODS,
        budgets=tuple(round(size * share) for share in (0.001, 0.0025, 0.005, 0.01)),
        budget=round(size * 0.005),
        is_rare=sides.pool.doc_ids().select("doc_id", rare=pl.col("source") == RARE),
        pose=lambda mixture: _problem(study, sides, target, mixture, seed),
        choose=lambda method, problem, _: select(method, problem).sort("rank").get_column("doc_id"),
        nested=frozenset(name for name in METHODS if method_named(name).nested),
    )


def _sides(study: Study, folder: Path, seed: int) -> _Sides:
    known = {
        name: scan_documents(study.folder / "corpus" / "pool" / name)
        .collect()
        .join(pl.read_parquet(study.folder / "data" / "pool" / f"{name}.parquet"), on="text", how="semi")
        .sort("doc_id")
        for name in (COMMON, RARE)
    }
    size = min(_MOST, int(known[COMMON].height / (1 - RARE_SHARE)))
    rare = round(size * RARE_SHARE)
    documents, vectors, targets = {}, {}, {}
    encoder = study.project.settings.encoder
    for name, count in ((COMMON, size - rare), (RARE, rare)):
        documents[name], vectors[name] = folder / "documents" / name, folder / "vectors" / name
        writer = ShardWriter(documents[name], [])
        writer.add(known[name].sample(count, seed=seed))
        writer.close()
        embed(study, documents[name], encoder, vectors[name])
        others = study.folder / "corpus" / "target" / name
        embed(study, others, encoder, folder / "targets" / name)
        targets[name] = (
            scan_documents(others).select("doc_id", "text").collect(),
            open_vectors(folder / "targets" / name),
        )
    nothing = folder / "left_out.parquet"
    pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String}).write_parquet(nothing)
    return _Sides(Pool.open(vectors, nothing), documents, targets)


def _problem(study: Study, sides: _Sides, size: int, mixture: float, seed: int) -> SelectionProblem:
    rare = round(size * mixture)
    frames, vectors = [], []
    for name, wanted in ((COMMON, size - rare), (RARE, rare)):
        if not wanted:
            continue
        known, shards = sides.targets[name]
        known = known.filter(pl.col("doc_id").is_in(shards.all_doc_ids().implode())).sort("doc_id")
        rows = np.sort(np.random.default_rng((seed, 1)).permutation(known.height)[:wanted])
        frames.append(known[rows])
        vectors.append(vectors_of(frames[-1].get_column("doc_id"), shards))
    problem = solved_problem(
        sides.pool,
        np.concatenate(vectors),
        epsilon=study.plan.epsilon,
        seed=seed,
        settings=study.project.settings.selection,
    )
    return dataclasses.replace(problem, documents=sides.documents, target_texts=pl.concat(frames).get_column("text"))
