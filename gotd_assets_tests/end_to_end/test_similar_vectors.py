"""A project that leaves out documents by their vectors: the graph, and what is on record about each."""

import dagster as dg
import polars as pl
import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.settings.file import load_project
from gotd_assets.stations.workshop import Workshop
from gotd_assets_tests.end_to_end.project import gotd, make_project


def test_the_pool_waits_for_vectors_only_where_they_are_compared(tmp_path, monkeypatch):
    from gotd_assets.definitions import defs

    def before_the_pool():
        specs = {spec.key.to_user_string(): spec for spec in defs().resolve_all_asset_specs()}
        return sorted(dep.asset_key.to_user_string() for dep in specs["candidate_pool"].deps)

    monkeypatch.setenv("GOTD_SETTINGS", str(make_project(tmp_path)))
    assert before_the_pool() == ["raw_candidates"]
    make_project(tmp_path, duplicates={"cosine": 0.97})
    assert before_the_pool() == ["candidate_embeddings"]
    dg.Definitions.validate_loadable(defs())


@pytest.mark.slow
def test_a_run_leaves_them_out_and_can_say_which_document_stayed_instead(tmp_path):
    make_project(
        tmp_path,
        duplicates={"cosine": 0.97},
        selection={"budget": 8, "methods": ["gotd"], "stability_resamples": 0},
    )
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    pool = store.current(ArtifactKey("candidate_pool"))
    assert {"candidate_embeddings[news]", "candidate_embeddings[mixed]"} <= set(pool.manifest.inputs)
    similar = pl.read_parquet(pool.file("duplicates.parquet")).filter(pl.col("kind") == "vector")
    assert pool.manifest.summary["vector"] == similar.height > 0
    scored = pl.read_parquet(store.current(ArtifactKey("candidate_scores", "film")).file("scores.parquet"))
    assert not set(scored["doc_id"]) & set(similar["doc_id"])
    assert set(similar["matched_doc_id"]) <= set(scored["doc_id"])
    rates = Workshop(load_project(tmp_path / "gotd.yaml")).make("candidate_pool").description["rates"]
    kept = [int(row.split("|")[5]) for row in rates.text.splitlines()[2:]]
    assert sum(kept) == scored.height
    one = similar.row(0, named=True)
    told = gotd(tmp_path, "audit", "why_document", "--document", one["doc_id"])
    shown = " ".join(told.stdout.split())
    assert "its vector is like another" in shown, told.stdout + told.stderr
    version = store.current(ArtifactKey("selected_subset", "film/gotd")).version
    repeated = gotd(tmp_path, "reproduce", version)
    assert repeated.returncode == 0, repeated.stdout + repeated.stderr
