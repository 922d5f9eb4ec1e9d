"""Tasks of the lm-evaluation-harness from local files: paired on the same items, with every item's value kept."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from mlflow.tracking import MlflowClient

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import InputError
from gotd_assets.evaluation.harness import compared, tasks_version
from gotd_assets.settings.evaluation import HarnessSettings
from gotd_assets.settings.file import load_project
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.workshop import Workshop
from gotd_assets_tests.end_to_end.project import copied, inside, make_project, sentences


def items(values: list[float]) -> pl.DataFrame:
    rows = [("t", "acc", "none", number, value, "") for number, value in enumerate(values)]
    return pl.DataFrame(rows, schema=["task", "metric", "filter", "item", "value", "answer"], orient="row")


def test_the_gain_is_that_of_the_same_items_whatever_their_order() -> None:
    draw = np.random.default_rng(0)
    base, trained = draw.integers(0, 2, 400).astype(float), draw.integers(0, 2, 400).astype(float)
    (row,) = compared(items(list(base)), items(list(trained)).sample(fraction=1, shuffle=True, seed=1)).to_dicts()
    difference = trained - base
    error = difference.std(ddof=1) / np.sqrt(400)
    assert row["items"] == 400
    assert (row["base"], row["trained"]) == pytest.approx((base.mean(), trained.mean()))
    assert row["gain"] == pytest.approx(difference.mean())
    # Student's t with 399 degrees of freedom.
    assert (row["low"], row["high"]) == pytest.approx(
        (difference.mean() - 1.9659 * error, difference.mean() + 1.9659 * error), abs=1e-4
    )


def test_a_single_item_has_a_gain_and_no_interval() -> None:
    (row,) = compared(items([0.0]), items([1.0])).to_dicts()
    assert (row["gain"], row["low"], row["high"], row["p"]) == (1.0, None, None, None)


def test_a_change_of_the_task_files_is_another_version(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    settings = HarnessSettings(tasks=["a"], include_path=Path("tasks"))
    with pytest.raises(InputError, match="is no folder"):
        tasks_version(settings, tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "a.yaml").write_text("task: a")
    before = tasks_version(settings, tmp_path)
    (tmp_path / "tasks" / "a.yaml").write_text("task: b")
    assert tasks_version(settings, tmp_path) != before


@pytest.mark.slow
def test_both_models_answer_the_same_items_and_every_value_is_kept(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    copied(finished, tmp_path)
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    texts = sentences("film", 12, 9)
    questions = [{"question": text, "choices": ["w61 w62", "w1 w2"], "answer": n % 2} for n, text in enumerate(texts)]
    (tasks / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions), encoding="utf-8")
    task = {
        "task": "films",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "tasks/questions.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}],
    }
    (tasks / "films.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    make_project(tmp_path, evaluation={"harness": {"tasks": ["films"], "include_path": "tasks", "limit": 10}})
    with inside(tmp_path):
        workshop = Workshop(load_project(tmp_path / "gotd.yaml"))
        outcome = workshop.make("harness_evaluation", Partition(target="film", method="gotd"))
    path = outcome.artifact.path
    base, trained = (pl.read_parquet(path / name) for name in ("samples-base.parquet", "samples.parquet"))
    assert base.height == trained.height == 10
    assert base.get_column("item").to_list() == trained.get_column("item").to_list()
    (row,) = outcome.artifact.manifest.summary["compared"]  # type: ignore[union-attr]
    assert row["trained"] == pytest.approx(trained.get_column("value").mean())
    assert row["low"] <= row["gain"] <= row["high"]
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    facts = store.current(ArtifactKey("pre_fine_tuned_model", "film/gotd")).json("training.json")
    client = MlflowClient(f"sqlite:///{tmp_path}/.gotd/mlflow/mlflow.db")
    below = client.search_runs([facts["experiment_id"]], f"tags.mlflow.parentRunId = '{facts['mlflow_run_id']}'")
    assert [run.info.run_name for run in below] == ["film · gotd · harness"]
