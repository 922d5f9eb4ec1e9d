"""What garbage collection may take, and what it must never."""

import datetime as dt
from pathlib import Path

import pytest

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.retention import unreferenced
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError

AT_ONCE = dt.timedelta(0)


def make(store: ArtifactStore, asset: str, partition: str | None, version: str, *inputs: Artifact) -> Artifact:
    key = ArtifactKey(asset, partition)
    named = {str(made.key): made.version for made in inputs} | {"file:data.jsonl": "aa"}
    with store.write(key, version, code_version="1", inputs=named, parameters={}) as writer:
        (writer.path / "data.txt").write_text(version)
    assert writer.artifact is not None
    store.publish(writer.artifact, f"run-{version}")
    return writer.artifact


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def names(artifacts: list[Artifact]) -> set[str]:
    return {f"{artifact.key} {artifact.version}" for artifact in artifacts}


def test_what_a_current_artifact_was_made_from_stays_however_old(store: ArtifactStore) -> None:
    raw = make(store, "raw_candidates", "news", "raw1")
    scores = make(store, "candidate_scores", "film", "scores1", raw)
    make(store, "raw_candidates", "news", "raw2")
    superseded = make(store, "selected_subset", "film/gotd", "subset1", scores)
    make(store, "selected_subset", "film/gotd", "subset2", scores)
    assert names(unreferenced(store, older_than=AT_ONCE)) == {f"{superseded.key} subset1"}


def test_every_trained_model_keeps_its_whole_origin(store: ArtifactStore) -> None:
    raw = make(store, "raw_candidates", "news", "raw1")
    subset = make(store, "selected_subset", "film/gotd", "subset1", raw)
    make(store, "pre_fine_tuned_model", "film/gotd", "model1", subset)
    for version in ("2", "3"):
        raw = make(store, "raw_candidates", "news", f"raw{version}")
        subset = make(store, "selected_subset", "film/gotd", f"subset{version}", raw)
    make(store, "pre_fine_tuned_model", "film/gotd", "model3", subset)
    assert names(unreferenced(store, older_than=AT_ONCE, kept=["pre_fine_tuned_model"])) == {
        "raw_candidates[news] raw2",
        "selected_subset[film/gotd] subset2",
    }


def test_young_artifacts_stay(store: ArtifactStore) -> None:
    make(store, "raw_candidates", "news", "raw1")
    make(store, "raw_candidates", "news", "raw2")
    assert unreferenced(store, older_than=dt.timedelta(days=7)) == []
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=8)
    assert names(unreferenced(store, older_than=dt.timedelta(days=7), now=later)) == {"raw_candidates[news] raw1"}


def test_removing_takes_one_version_and_the_pointers_to_it(store: ArtifactStore, tmp_path: Path) -> None:
    old, new = make(store, "raw_candidates", "news", "raw1"), make(store, "raw_candidates", "news", "raw2")
    store.remove(old)
    assert [made.version for made in store.versions(new.key)] == ["raw2"]
    assert store.current(new.key, "run-raw1").version == "raw2"
    assert list((tmp_path / "tmp").iterdir()) == []
    with pytest.raises(ArtifactError, match="current"):
        store.remove(new)
