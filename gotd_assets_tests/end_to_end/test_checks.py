"""Bad data is shown by a failed check, and what would be blocked never reaches a training run."""

import json
from pathlib import Path

import dagster as dg
import pytest
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file, save_file

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.watch.current import current_artifact
from gotd_assets_tests.end_to_end.project import (
    copied,
    gotd,
    make_project,
    run_stages_of,
    sentences,
    until_scores,
    until_selection,
    write_jsonl,
)


def made(folder: Path, asset: str, partition: str | None) -> bool:
    return current_artifact(ArtifactStore(folder / ".gotd" / "artifacts"), ArtifactKey(asset, partition)) is not None


def evaluation(folder: Path, asset: str, check: str) -> dg.AssetCheckEvaluation:
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        key = dg.AssetCheckKey(dg.AssetKey(asset), check)
        (record, *_) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        assert record.event is not None
        found = record.event.asset_check_evaluation
        assert found is not None
        return found


def spoil_news(folder: Path) -> None:
    with (folder / "data" / "news.jsonl").open("a") as file:
        file.write('{"text": 3}\n' * 30)


def an_encoder_with_a_hole(folder: Path) -> str:
    """Let the vector of unknown words, the second, be zero; returns a text of such words."""
    path = folder / "encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors["embeddings"][1] = 0
    save_file(tensors, path)
    return "nobody knows these words"


def heldout_text_among_candidates(folder: Path) -> None:
    mixed = [json.loads(line)["text"] for line in (folder / "data" / "mixed.jsonl").read_text().splitlines()]
    write_jsonl(folder / "data" / "mixed.jsonl", [*mixed, *sentences("film", 24, 1)])


@pytest.mark.parametrize(
    ("asset", "check", "settings", "spoil"),
    [
        ("raw_candidates", "quarantine_rate", {}, spoil_news),
        ("raw_candidates", "schema_and_counts", {"checks": {"min_documents": 1000}}, None),
        ("ot_potentials", "marginal_error", {"checks": {"max_marginal_error": 1e-9}}, None),
        (
            "selected_subset",
            "no_evaluation_text",
            {"duplicates": {"contamination": False}},
            heldout_text_among_candidates,
        ),
        ("pre_fine_tuned_model", "loss_did_not_diverge", {"checks": {"max_loss_growth": 0.01}}, None),
    ],
    ids=["quarantine", "counts", "marginal error", "evaluation text", "loss"],
)
def test_a_blocking_check_holds_back_what_it_finds(
    solved, tmp_path, monkeypatch, asset, check, settings, spoil
) -> None:
    monkeypatch.chdir(tmp_path)
    if asset == "pre_fine_tuned_model":
        copied(solved, tmp_path)
    make_project(tmp_path, **settings)
    if spoil is not None:
        spoil(tmp_path)
    done = gotd(tmp_path, "run")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "is held back by its checks" in said
    assert check in said
    assert "Traceback" not in said
    assert not evaluation(tmp_path, asset, check).passed
    partition = {"raw_candidates": "news", "ot_potentials": "film"}.get(asset, "film/gotd")
    assert not made(tmp_path, asset, partition)
    assert not made(tmp_path, "pre_fine_tuned_model", "film/gotd")


def test_warnings_let_the_run_go_on_and_the_records_agree(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    limits = {
        "max_source_share": 0.3,
        "max_relative_gap": 1e-12,
        "max_contamination_rate": 0.001,
        "drift_permutations": 100,
    }
    make_project(tmp_path, checks=limits, selection={"budget": 8, "methods": ["gotd"]})
    unusable = an_encoder_with_a_hole(tmp_path)
    write_jsonl(tmp_path / "data" / "news.jsonl", [*sentences("news", 60, 0), sentences("film", 24, 1)[0], unusable])
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not evaluation(tmp_path, "selected_subset", "source_share").passed
    assert not evaluation(tmp_path, "ot_potentials", "duality_gap").passed
    contamination = evaluation(tmp_path, "candidate_scores", "pool_contamination")
    assert not contamination.passed
    assert "1 of 113 candidates are text of the target" in str(contamination.description)
    assert evaluation(tmp_path, "pre_fine_tuned_model", "records_of_training_agree").passed
    assert evaluation(tmp_path, "candidate_embeddings", "usable_vectors").passed
    embeddings = ArtifactStore(tmp_path / ".gotd" / "artifacts").current(ArtifactKey("candidate_embeddings", "news"))
    assert embeddings.manifest.summary["quarantined"] == 1
    assert evaluation(tmp_path, "target_sketch", "drift").passed
    model = ArtifactStore(tmp_path / ".gotd" / "artifacts").current(ArtifactKey("pre_fine_tuned_model", "film/gotd"))
    facts = json.loads(model.file("training.json").read_text())
    MlflowClient(facts["tracking_uri"]).set_tag(facts["mlflow_run_id"], "gotd.selection_version", "another")
    run_stages_of(tmp_path, lambda settings: until_selection(settings)[-1:])
    told = evaluation(tmp_path, "pre_fine_tuned_model", "records_of_training_agree")
    assert not told.passed
    assert "MLflow has selection_version another" in str(told.description)
    write_jsonl(tmp_path / "data" / "target.jsonl", sentences("news", 24, 4))
    run_stages_of(tmp_path, until_scores)
    drifted = evaluation(tmp_path, "target_sketch", "drift")
    assert not drifted.passed
    assert "drifted since the last selection" in str(drifted.description)
    potentials = ArtifactStore(tmp_path / ".gotd" / "artifacts").current(ArtifactKey("ot_potentials", "film"))
    assert "started_from" not in potentials.manifest.summary, "the whole target changed"


@pytest.mark.slow
def test_raising_the_limit_is_enough(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, checks={"max_loss_growth": 0.01}, selection={"budget": 8, "methods": ["gotd"]})
    assert gotd(tmp_path, "run").returncode == 2
    make_project(tmp_path, selection={"budget": 8, "methods": ["gotd"]})
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training: step" not in done.stdout
