"""What a team meets beside the data: dry runs, webhooks, estimates, tags, a tracking server that is down."""

import json
from pathlib import Path

import dagster as dg
import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.project import (
    copied,
    gotd,
    make_project,
    run_stages_of,
    sentences,
    until_selection,
    write_jsonl,
)
from gotd_assets_tests.watch.test_notify import Hook, hook  # noqa: F401 - a fixture

ONE_METHOD = {"selection": {"budget": 8, "methods": ["gotd"]}}


def tree(folder: Path) -> set[str]:
    return {str(path) for path in (folder / ".gotd" / "artifacts").rglob("*")}


@pytest.mark.slow
def test_a_dry_run_tells_what_and_why_and_makes_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    # On a dumb terminal rich takes 80 columns whatever COLUMNS says.
    monkeypatch.setenv("TERM", "xterm")
    make_project(tmp_path, **ONE_METHOD)
    first = gotd(tmp_path, "run", "--dry-run")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "14 of 14 artifacts would be made" in first.stdout
    assert "it was never made" in first.stdout
    assert tree(tmp_path) == set()
    assert gotd(tmp_path, "run").returncode == 0
    before = tree(tmp_path)
    assert "0 of 14 artifacts would be made" in gotd(tmp_path, "run", "--dry-run").stdout
    write_jsonl(tmp_path / "data" / "target.jsonl", sentences("film", 24, 3))
    make_project_settings(tmp_path, training={"model": "model", "max_tokens": 32, "learning_rate": 0.02})
    planned = gotd(tmp_path, "run", "--dry-run").stdout
    assert "9 of 14 artifacts would be made" in planned
    assert "parameter learning_rate: 0.01 → 0.02" in planned
    assert "input content:0 is another" in planned
    assert "input target_sketch[film] is another" in planned
    assert tree(tmp_path) == before
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        runs = instance.get_runs_count()
    assert gotd(tmp_path, "run").returncode == 0
    assert "0 of 14" in gotd(tmp_path, "run", "--dry-run").stdout
    made = {line.removeprefix(str(tmp_path)) for line in tree(tmp_path) - before if line.endswith("manifest.json")}
    assert len(made) == 9
    assert runs > 0


def make_project_settings(folder: Path, **changes: object) -> None:
    """Other settings, the same data."""
    target = (folder / "data" / "target.jsonl").read_text()
    make_project(folder, **ONE_METHOD, **changes)
    (folder / "data" / "target.jsonl").write_text(target)


def test_failures_and_new_models_are_told_and_runs_are_tagged(tmp_path, monkeypatch, hook: Hook) -> None:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOTD_NOTIFY__WEBHOOK", hook.url)
    make_project(tmp_path, estimates={"min_documents": 10}, **ONE_METHOD)
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    selection = store.current(ArtifactKey("selected_subset", "film/gotd"))
    (told,) = hook.told
    assert told["event"] == "success"
    assert (told["target"], told["method"], told["selection_version"]) == ("film", "gotd", selection.version)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = instance.get_run_by_id(str(told["run_id"]))
        assert run is not None
        assert run.tags["gotd/selection_version"] == selection.version
        assert {run.tags.get("gotd/source") for run in instance.get_runs()} == {"news", "mixed", None}
    assert "60 documents to embed, about" in done.stdout
    assert " on this machine" in done.stdout
    assert store.current(ArtifactKey("candidate_embeddings", "news")).manifest.summary["estimated_documents"] == 60
    run_stages_of(tmp_path, lambda settings: until_selection(settings)[-1:])
    assert len(hook.told) == 1
    write_jsonl(tmp_path / "data" / "target.jsonl", [])
    assert gotd(tmp_path, "run").returncode == 2
    failure = hook.told[-1]
    assert (failure["event"], failure["target"]) == ("failure", "film")
    assert "is empty" in str(failure["error"])


def test_a_webhook_that_is_down_stops_nothing(solved, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GOTD_NOTIFY__WEBHOOK", "http://127.0.0.1:9/secret")
    make_project(copied(solved, tmp_path), **ONE_METHOD)
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "notify.webhook cannot be reached" in " ".join(done.stdout.split())
    assert "secret" not in done.stdout + done.stderr


def test_a_tracking_server_that_is_down_is_a_sentence(solved, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    make_project(
        copied(solved, tmp_path), tracking={"uri": "http://127.0.0.1:9"}, orchestration={"retries": 0}, **ONE_METHOD
    )
    done = gotd(tmp_path, "run")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "tracking.uri 'http://127.0.0.1:9' cannot be used" in said
    assert "TrainingError" in said or "error:" in said
    assert "Traceback" not in said


def test_one_target_that_fails_does_not_stop_the_other(solved, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    targets = [{"name": "bad", "path": "data/bad.jsonl"}, {"name": "film", "path": "data/target.jsonl"}]
    make_project(copied(solved, tmp_path), targets=targets, **ONE_METHOD)
    (tmp_path / "data" / "bad.jsonl").write_text(json.dumps({"no text": 1}) + "\n")
    done = gotd(tmp_path, "run")
    assert done.returncode == 2
    assert "targets 'bad'" in " ".join(done.stderr.split())
    ArtifactStore(tmp_path / ".gotd" / "artifacts").current(ArtifactKey("evaluation_report", "film"))
