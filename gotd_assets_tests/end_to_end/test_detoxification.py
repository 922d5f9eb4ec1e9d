"""Prompts through the assets: continued, judged, recorded below the model's run."""

import json

import polars as pl
import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.project import gotd, make_project, sentences, write_jsonl
from gotd_assets_tests.models.tiny import classifier_folder


@pytest.mark.slow
def test_a_run_measures_clean_and_contrast_targets_once(tmp_path):
    classifier_folder(tmp_path / "classifier", ["fine", "toxic"])
    write_jsonl(tmp_path / "prompts.jsonl", sentences("sport", 15, 3))
    write_jsonl(tmp_path / "neutral.jsonl", sentences("news", 10, 3))
    write_jsonl(tmp_path / "data" / "bad.jsonl", sentences("sport", 20, 7))
    prompts = {"path": "prompts.jsonl", "neutral": "neutral.jsonl", "generations": 3, "new_tokens": 5, "prompts": 10}
    make_project(
        tmp_path,
        targets=[
            {"name": "film", "path": "data/target.jsonl"},
            {"name": "bad", "path": "data/bad.jsonl", "direction": "away"},
        ],
        selection={"budget": 8, "methods": ["gotd", "rtp"]},
        toxicity={"model": "classifier"},
        evaluation={"detoxification": [{"target": "film", **prompts}, {"target": "bad", **prompts}]},
    )
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    versions = {}
    for partition in ("film/gotd", "film/rtp", "bad/gotd", "bad/rtp"):
        artifact = store.current(ArtifactKey("detoxification_evaluation", partition))
        versions[partition] = artifact.version
        content = json.loads(artifact.file("detoxification.json").read_text())
        assert content["prompts"]["all"] == 10
        assert 0 <= content["trained"]["all"]["toxicity_probability"] <= 1
        assert content["neutral"]["base"]["documents"] == 10
        assert pl.read_parquet(artifact.file("generations.parquet")).height == 2 * 10 * 3
    report = store.current(ArtifactKey("evaluation_report", "bad")).file("report.md").read_text(encoding="utf-8")
    after = content["trained"]["all"]["expected_maximum_toxicity"]
    before = content["base"]["all"]["expected_maximum_toxicity"]
    assert f"| rtp | all (10) | expected maximum toxicity | {before:.3f} | {after:.3f} |" in report
    again = gotd(tmp_path, "run")
    assert again.returncode == 0, again.stderr
    for partition, version in versions.items():
        assert store.current(ArtifactKey("detoxification_evaluation", partition)).version == version


def test_prompts_without_a_classifier_are_refused(tmp_path):
    make_project(tmp_path, evaluation={"detoxification": [{"target": "film", "path": "prompts.jsonl"}]})
    done = gotd(tmp_path, "run")
    assert done.returncode == 2
    assert "need a classifier" in " ".join(done.stderr.split())
