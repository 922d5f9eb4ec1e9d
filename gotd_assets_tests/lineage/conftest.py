"""A small world of recorded materialisations, kept in plain frames too, so that audits can be checked against polars."""

import dataclasses
import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.artifacts.artifact import ArtifactFile
from gotd_assets.fingerprint import document_id, fingerprint
from gotd_assets.lineage import LineageStore, Materialisation, SourceFile, Training

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
BUDGET = 12


def version(*parts: str | int) -> str:
    return fingerprint(list(parts))


@dataclasses.dataclass
class World:
    """What was recorded: `pools[revision]`, `scored[target, revision]`, `selections[target, revision]`, frames all."""

    store: LineageStore
    pools: dict[int, pl.DataFrame]
    scored: dict[tuple[str, int], pl.DataFrame]
    excluded: dict[tuple[str, int], pl.DataFrame]
    selections: dict[tuple[str, int], pl.DataFrame]

    def selection_version(self, target: str, revision: int) -> str:
        return version("selected_subset", target, revision)

    def model_run(self, target: str, revision: int) -> str:
        return version("mlflow", target, revision)


def pool_of(revision: int) -> pl.DataFrame:
    """Two sources in two files each; revision 1 drops ten documents and adds ten; some texts stand in both sources."""
    rows = []
    for source in ("news", "reviews"):
        for number in range(30):
            if revision == 1 and number < 5:
                continue
            text = f"shared {number}" if number % 10 == 7 else f"{source} {number}"
            rows.append((document_id(text), source, f"/data/{source}/part-{number % 2}.jsonl:{number}"))
        if revision == 1:
            rows += [
                (document_id(f"{source} new {number}"), source, f"/data/{source}/part-2.jsonl:{number}")
                for number in range(5)
            ]
    return pl.DataFrame(rows, schema=["doc_id", "source", "origin"], orient="row")


def record_revision(world: World, target: str, revision: int) -> None:
    generator = np.random.default_rng([revision, len(target)])
    time = START + dt.timedelta(days=revision, hours=len(target))
    run_id = f"run-{target}-{revision}"
    pool = pool_of(revision)
    world.pools[revision] = pool
    inputs = {}
    for source in ("news", "reviews"):
        name = f"raw_candidates[{source}]"
        inputs[name] = version(name, revision)
        parts = (0, 1) if revision == 0 else (0, 1, 2)
        world.store.record(
            Materialisation(
                asset="raw_candidates",
                partition=source,
                version=inputs[name],
                code_version="1",
                documents=pool.filter(pl.col("source") == source),
                source_files=[
                    SourceFile(f"/data/{source}/part-{part}.jsonl", 100 + part, version("sha", source, part, revision))
                    for part in parts
                ],
                created_at=time,
                run_id=run_id,
                packages={"polars": "2.1.0"},
            )
        )
    target_name = f"target_documents[{target}]"
    world.store.record(
        Materialisation(
            asset="target_documents",
            partition=target,
            version=version(target_name),
            code_version="1",
            source_files=[SourceFile(f"/targets/{target}.txt", 5, version("target", target))],
            created_at=time,
            run_id=run_id,
            reused=revision > 0,
        )
    )
    unique = pool.unique("doc_id", keep="first", maintain_order=True)
    scored = unique.with_columns(pl.Series("score", generator.standard_normal(unique.height)))
    world.scored[target, revision] = scored
    excluded = scored.sort("score").head(2).select("doc_id", reason=pl.lit("near-duplicate of target text"))
    excluded = excluded.with_columns(matched_doc_id=pl.lit(document_id("the target text")))
    world.excluded[target, revision] = excluded
    scores_name = f"candidate_scores[{target}]"
    scores_version = version(scores_name, revision)
    world.store.record(
        Materialisation(
            asset="candidate_scores",
            partition=target,
            version=scores_version,
            code_version=f"{1 + revision}",
            parameters={"epsilon": 0.05 / (1 + revision), "cost": {"kind": "sqeuclidean"}, "seed": 3},
            inputs={**inputs, target_name: version(target_name), "encoder": "minilm@abc"},
            scores=scored.select("doc_id", "score"),
            created_at=time,
            run_id=run_id,
            packages={"polars": "2.1.0", "torch": "2.13.0"},
            conditions={"torch_threads": f"{2 + revision}", "processor": "a processor"},
        )
    )
    chosen = (
        scored.join(excluded, on="doc_id", how="anti")
        .sort("score", "doc_id")
        .head(BUDGET)
        .with_row_index("rank", offset=1)
    )
    world.selections[target, revision] = chosen
    selection = world.selection_version(target, revision)
    world.store.record(
        Materialisation(
            asset="selected_subset",
            partition=f"{target}/gotd",
            version=selection,
            code_version="1",
            parameters={"budget": BUDGET},
            inputs={scores_name: scores_version},
            files=[ArtifactFile("subset.parquet", 10, version("file", selection) * 2)],
            members=chosen,
            exclusions=excluded,
            created_at=time,
            run_id=run_id,
        )
    )
    world.store.record(
        Materialisation(
            asset="pre_fine_tuned_model",
            partition=f"{target}/gotd",
            version=version("model", target, revision),
            code_version="1",
            parameters={"learning_rate": 2e-5},
            inputs={f"selected_subset[{target}/gotd]": selection},
            files=[ArtifactFile("model.safetensors", 11, version("weights", target, revision) * 2)],
            created_at=time,
            run_id=run_id,
            training=Training(
                world.model_run(target, revision), "sqlite:////mlflow.db", selection, "tiny-gpt@123", seed=17
            ),
        )
    )


@pytest.fixture(scope="session")
def recorded_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(LineageStore(tmp_path_factory.mktemp("world") / "lineage.duckdb"), {}, {}, {}, {})
    for revision in (0, 1):
        for target in ("imdb", "medicine"):
            record_revision(world, target, revision)
    return world


@pytest.fixture
def world(recorded_world: World, tmp_path: Path) -> World:
    """A copy for one test."""
    path = tmp_path / "lineage.duckdb"
    shutil.copyfile(recorded_world.store.path, path)
    return dataclasses.replace(recorded_world, store=LineageStore(path))
