"""A project whose encoder is fine-tuned on its target: graph, dry run, run, second run, and the same again."""

import json

import dagster as dg
import numpy as np
import pytest
import yaml

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.embedding.vectors import open_vectors
from gotd_assets_tests.end_to_end.project import gotd, make_project
from gotd_assets_tests.end_to_end.test_labelled_task import TASK, write_labelled
from gotd_assets_tests.models.tiny import model_folder

TUNE = {"target": "film", "learning_rate": 3e-3, "batch_size": 4, "epochs": 2}


def project(folder, **changes):
    model_folder(folder / "bert", "bert-headless")
    return make_project(
        folder,
        encoder={"model": "bert", "dtype": "float32", "tune": TUNE},
        selection={"budget": 8, "methods": ["gotd"], "stability_resamples": 0},
        **changes,
    )


def deps(definitions):
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    return {name: sorted(dep.asset_key.to_user_string() for dep in spec.deps) for name, spec in specs.items()}


def test_the_encoder_is_an_asset_only_where_it_is_asked_for(tmp_path, monkeypatch):
    from gotd_assets.definitions import defs

    monkeypatch.setenv("GOTD_SETTINGS", str(project(tmp_path)))
    found = deps(defs())
    assert found["tuned_encoder"] == ["target_documents"]
    assert found["candidate_embeddings"] == ["raw_candidates", "tuned_encoder"]
    assert found["target_embeddings"] == ["tuned_encoder"]
    dg.Definitions.validate_loadable(defs())
    make_project(tmp_path, encoder={"model": "bert", "tune": {"target": "film"}}, evaluation={"classification": [TASK]})
    assert deps(defs())["tuned_encoder"] == ["labelled_documents"]
    make_project(tmp_path)
    assert "tuned_encoder" not in deps(defs())


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [False, True])
def test_a_run_embeds_with_it_once_and_can_be_repeated(tmp_path, labelled):
    tasks = {"evaluation": {"classification": [TASK]}} if labelled else {}
    write_labelled(tmp_path / "labelled.jsonl")
    path = project(tmp_path, **tasks)
    planned = gotd(tmp_path, "run", "--dry-run")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "tuned_encoder" in planned.stdout
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")

    def current(asset, partition=None):
        return store.current(ArtifactKey(asset, partition))

    tuned, embedded, selection = (
        current("tuned_encoder"),
        current("candidate_embeddings", "news"),
        current("selected_subset", "film/gotd"),
    )
    assert tuned.manifest.summary["objective"] == ("classification" if labelled else "contrastive")
    assert embedded.manifest.inputs["tuned_encoder"] == tuned.version
    assert current("target_embeddings", "film").manifest.inputs["tuned_encoder"] == tuned.version
    assert open_vectors(embedded.path).n_rows == 60

    again = gotd(tmp_path, "run", "--dry-run")
    assert again.stdout.count("would be made") == 1, again.stdout
    assert "0 of " in again.stdout

    # What gotd.yaml says today is not what it was made with.
    changed = {**yaml.safe_load(path.read_text()), "encoder": {"model": "bert"}, "evaluation": {}}
    path.write_text(yaml.safe_dump(changed))
    whole = gotd(tmp_path, "reproduce", selection.version, "--all", "--keep", str(tmp_path / "kept"))
    assert whole.returncode == 0, whole.stdout + whole.stderr
    rebuilt = ArtifactStore(tmp_path / "kept" / "artifacts").current(ArtifactKey("tuned_encoder"))
    assert rebuilt.version == tuned.version
    assert rebuilt.file("model/model.safetensors").read_bytes() == tuned.file("model/model.safetensors").read_bytes()
    assert json.loads(tuned.file("tuning.json").read_text())["steps"] > 1

    # Another seed is another encoder, and everything is embedded anew.
    changed = {**changed, **tasks, "encoder": {"model": "bert", "dtype": "float32", "tune": {**TUNE, "seed": 1}}}
    path.write_text(yaml.safe_dump(changed))
    other = gotd(tmp_path, "run")
    assert other.returncode == 0, other.stdout + other.stderr
    anew = current("candidate_embeddings", "news")
    assert anew.manifest.summary["embedded"] == 60
    assert not np.allclose(open_vectors(anew.path)[0].vectors, open_vectors(embedded.path)[0].vectors, atol=1e-3)
