"""`gotd forget` in a real project: from the removal request to a run without the document."""

import json
from pathlib import Path

import polars as pl
import pytest

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.project import gotd, make_project

ASSETS_BEHIND_A_SELECTION = {"candidate_pool", "ot_potentials[film]", "candidate_scores[film]"}


def current(folder: Path, asset: str, partition: str | None) -> Artifact:
    return ArtifactStore(folder / ".gotd" / "artifacts").current(ArtifactKey(asset, partition))


def rows(folder: Path, *arguments: str) -> list[dict[str, object]]:
    done = gotd(folder, *arguments, "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def hold_forgotten(folder: Path) -> set[str]:
    """Artifacts that `stale` lists for a forgotten document."""
    return {str(row["artifact"]) for row in rows(folder, "audit", "stale") if "forgotten" in str(row["reason"])}


@pytest.mark.slow
def test_a_forgotten_document_leaves_what_is_built_next_and_is_told_of_until_then(tmp_path: Path) -> None:
    make_project(tmp_path, selection={"budget": 8, "methods": ["gotd"]})
    assert gotd(tmp_path, "run").returncode == 0
    before = current(tmp_path, "selected_subset", "film/gotd")
    model = current(tmp_path, "pre_fine_tuned_model", "film/gotd")
    chosen = pl.read_parquet(before.file("subset.parquet"))
    doc_id, source = chosen["doc_id"][0], chosen["source"][0]

    request = rows(tmp_path, "forget", doc_id, "--reason", "the author asked")
    by_artifact = {row["artifact"]: row for row in request}
    assert {f"raw_candidates[{source}]", "selected_subset[film/gotd]", "pre_fine_tuned_model[film/gotd]"} <= set(
        by_artifact
    )
    assert set(by_artifact) >= ASSETS_BEHIND_A_SELECTION
    assert "withdraw" in str(by_artifact["pre_fine_tuned_model[film/gotd]"]["action"])
    assert by_artifact["pre_fine_tuned_model[film/gotd]"]["location"] == str(model.path)
    (own,) = [row for row in request if row["action"] == "remove from your own data"]
    assert str(own["location"]).startswith("data/mixed.jsonl:")
    held = hold_forgotten(tmp_path)
    assert {"selected_subset[film/gotd]", "pre_fine_tuned_model[film/gotd]", *ASSETS_BEHIND_A_SELECTION} <= held

    again = gotd(tmp_path, "run")
    assert again.returncode == 0, again.stdout + again.stderr
    after = current(tmp_path, "selected_subset", "film/gotd")
    left_out = pl.read_parquet(current(tmp_path, "candidate_pool", None).file("left_out.parquet"))
    assert left_out.filter(pl.col("doc_id") == doc_id)["reason"].unique().to_list() == ["forgotten"]
    for asset, partition, file in (
        ("candidate_scores", "film", "scores.parquet"),
        ("selected_subset", "film/gotd", "subset.parquet"),
    ):
        artifact = current(tmp_path, asset, partition)
        assert doc_id not in pl.read_parquet(artifact.file(file))["doc_id"]
    assert doc_id not in after.file("subset.jsonl").read_text()
    assert current(tmp_path, "pre_fine_tuned_model", "film/gotd").version != model.version
    # The user's own file still has it, so what is read from it has it, too.
    assert hold_forgotten(tmp_path) == {f"raw_candidates[{source}]", f"candidate_embeddings[{source}]"}

    still = {(row["artifact"], row["version"]) for row in rows(tmp_path, "audit", "removal_request", doc_id)}
    assert ("selected_subset[film/gotd]", before.version) in still
    assert not still & {("selected_subset[film/gotd]", after.version)}
    assert not [name for name, made in still if made == current(tmp_path, "candidate_scores", "film").version]
    why = {row["selection_version"]: row for row in rows(tmp_path, "audit", "why_document", doc_id)}
    assert why[before.version]["reason"] == "selected: number 1 of 8"
    assert why[after.version]["reason"] == "left out: forgotten: the author asked"
    assert why[after.version]["selected"] is False
    assert all(row["forgotten_at"] for row in why.values())
    (left,) = [
        row
        for row in rows(
            tmp_path, "audit", "selection_difference", "--earlier", before.version, "--later", after.version
        )
        if row["change"] == "left"
    ]
    assert (left["doc_id"], left["reason"]) == (doc_id, "forgotten: the author asked")

    # Once it is gone from the user's file, nothing that is current holds it.
    path = tmp_path / "data" / "mixed.jsonl"
    text = chosen["text"][0]
    lines = [line for line in path.read_text().splitlines() if json.loads(line)["text"] != text]
    path.write_text("\n".join(lines) + "\n")
    assert gotd(tmp_path, "run").returncode == 0
    assert hold_forgotten(tmp_path) == set()


@pytest.mark.slow
def test_a_forgotten_text_of_a_target_guides_no_selection_made_next(tmp_path: Path) -> None:
    make_project(tmp_path, selection={"budget": 8, "methods": ["gotd"]})
    assert gotd(tmp_path, "run").returncode == 0
    before = current(tmp_path, "selected_subset", "film/gotd")
    nearest = pl.read_parquet(before.file("subset.parquet"))["nearest_target_text"][0]
    documents = current(tmp_path, "target_documents", "film")
    train = pl.read_parquet(documents.path / "train" / "documents-*.parquet")
    doc_id = train.filter(pl.col("text") == nearest)["doc_id"][0]

    request = {
        row["artifact"]: row["action"] for row in rows(tmp_path, "forget", doc_id, "--reason", "a customer asked")
    }
    assert request["film"] == "remove from your own data"
    assert request["selected_subset[film/gotd]"] == "delete or make again: made for a target with it"
    assert request["pre_fine_tuned_model[film/gotd]"] == "train again: made for a target with it"
    assert {"target_documents[film]", "target_embeddings[film]", "selected_subset[film/gotd]"} <= hold_forgotten(
        tmp_path
    )

    again = gotd(tmp_path, "run")
    assert again.returncode == 0, again.stdout + again.stderr
    assert hold_forgotten(tmp_path) == set()
    left = pl.read_parquet(current(tmp_path, "target_documents", "film").path / "*" / "documents-*.parquet")
    assert doc_id not in left["doc_id"]
    after = current(tmp_path, "selected_subset", "film/gotd")
    assert after.version != before.version
    assert nearest not in after.file("subset.jsonl").read_text()
    # The user's own file has not changed.
    assert "0 of 14 artifacts would be made" in gotd(tmp_path, "run", "--dry-run").stdout
