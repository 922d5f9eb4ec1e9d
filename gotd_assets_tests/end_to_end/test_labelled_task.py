"""A labelled task through the assets: read, fine-tuned on, recorded below the model's run in MLflow."""

import json
import random

import dagster as dg
import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.project import gotd, make_project
from gotd_assets_tests.models.tiny import WORDS


def write_labelled(path):
    draw = random.Random(1)
    rows = []
    for number in range(80):
        praise = number % 2
        words = WORDS[60:75] if praise else WORDS[75:90]
        rows.append({"body": " ".join(draw.choices(words, k=9)), "stars": str(praise)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


TASK = {
    "target": "film",
    "path": "labelled.jsonl",
    "text": "body",
    "label": "stars",
    "labels": {"1": "w60", "0": "w80"},
    "template": "{text} {label}",
    "sizes": [4, 20],
    "seeds": 2,
    "learning_rate": 0.01,
}


@pytest.mark.slow
def test_a_run_measures_the_task_once_and_nests_it_below_the_training(tmp_path):
    write_labelled(tmp_path / "labelled.jsonl")
    make_project(tmp_path, selection={"budget": 8, "methods": ["gotd"]}, evaluation={"classification": [TASK]})
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    artifact = store.current(ArtifactKey("task_evaluation", "film/gotd"))
    content = json.loads(artifact.file("task.json").read_text())
    points = [(4, 0), (4, 1), (20, 0), (20, 1)]
    for way in ("probe", "fine-tuned"):
        made = [point for point in content["trained"]["curve"] if point["way"] == way]
        assert [(point["labels"], point["seed"]) for point in made] == points
    for way in ("probe", "fine-tuned"):
        assert set(content["compared"][way]["labels_saved"]) == {"4", "20"}
    assert 0 <= content["trained"]["without_labels"]["accuracy"] <= 1
    summary = artifact.manifest.summary
    assert {"accuracy_20_base", "accuracy_20_trained", "zero_shot_accuracy_base", "labels_saved_at_20"} <= set(summary)

    report = store.current(ArtifactKey("evaluation_report", "film")).file("report.md").read_text(encoding="utf-8")
    assert (
        f"| gotd | 20 | fine-tuned | {summary['accuracy_20_base']:.3f} | {summary['accuracy_20_trained']:.3f} |"
        in report
    )
    assert f"| gotd | none | zero-shot | {summary['zero_shot_accuracy_base']:.3f} |" in report
    assert "A labelled task" in gotd(tmp_path, "report", "film").stdout

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / '.gotd' / 'mlflow' / 'mlflow.db'}")
    training = store.current(ArtifactKey("pre_fine_tuned_model", "film/gotd"))
    model_run = json.loads(training.file("training.json").read_text())["mlflow_run_id"]
    experiment = client.get_run(model_run).info.experiment_id
    runs = client.search_runs([experiment])
    parent = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in runs}
    assert parent[content["mlflow_run_id"]] == model_run
    points = [run for run in runs if parent[run.info.run_id] == content["mlflow_run_id"]]
    assert len(points) == 4
    assert all({"accuracy", "macro_f1", "accuracy_base"} <= set(run.data.metrics) for run in points)

    again = gotd(tmp_path, "run")
    assert again.returncode == 0, again.stderr
    assert store.current(ArtifactKey("task_evaluation", "film/gotd")).version == artifact.version
    assert len(client.search_runs([experiment])) == len(runs)


def test_a_project_without_a_task_has_no_such_assets(tmp_path, monkeypatch):
    from gotd_assets.definitions import defs

    monkeypatch.setenv("GOTD_SETTINGS", str(make_project(tmp_path)))
    keys = {key.to_user_string() for key in defs().resolve_asset_graph().get_all_asset_keys()}
    assert "evaluation_report" in keys
    assert "task_evaluation" not in keys
    assert isinstance(defs(), dg.Definitions)
