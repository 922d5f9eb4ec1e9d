"""Artifacts in an object store: a folder behind `file://`, which is one of the kinds; a real S3 server in test_object_store."""

import dataclasses
import datetime as dt
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.leases import leased
from gotd_assets.artifacts.making import make
from gotd_assets.artifacts.storage import storage_at
from gotd_assets.artifacts.store import ArtifactStore, ArtifactWriter
from gotd_assets.errors import StorageError
from gotd_assets.settings.storage import StorageSettings

KEY = ArtifactKey("candidate_embeddings", "web")


def stores(tmp_path: Path, count: int = 2, cache: int | None = None) -> list[ArtifactStore]:
    """Of machines that share a store."""
    return [
        ArtifactStore(tmp_path / f"machine-{number}" / "artifacts", f"file://{tmp_path / 'bucket'}", cache)
        for number in range(count)
    ]


def made(store: ArtifactStore, seed: str, content: bytes = b"vectors", *, expected: bool = True) -> Artifact:
    def write(writer: ArtifactWriter) -> None:
        assert expected, "it was there already"
        (writer.path / "parts").mkdir()
        (writer.path / "parts" / "vectors-0.npy").write_bytes(content)
        writer.summary["rows"] = 3

    return make(store, KEY, code_version="1", inputs={"seed": seed}, parameters={}, write=write).artifact


def test_another_machine_finds_what_one_made(tmp_path: Path) -> None:
    first, second = stores(tmp_path)
    artifact = made(first, "a")
    there = made(second, "a", expected=False)
    assert there.path != artifact.path
    assert there.manifest == artifact.manifest
    assert not there.verify()
    assert second.current(KEY).version == artifact.version


def test_without_a_store_nothing_is_looked_for(tmp_path: Path) -> None:
    first, _ = stores(tmp_path)
    artifact = made(first, "a")
    assert ArtifactStore(tmp_path / "alone").find(KEY, artifact.version) is None


def test_what_is_the_same_is_there_once(tmp_path: Path) -> None:
    first, _ = stores(tmp_path)
    for seed in "ab":
        made(first, seed, b"the same")
    objects = [path for path in (tmp_path / "bucket" / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 1


def test_a_run_that_was_second_keeps_what_was_first(tmp_path: Path) -> None:
    first, second = stores(tmp_path)
    artifact = made(dataclasses.replace(first, storage_url=None), "a", b"one")
    other = made(dataclasses.replace(second, storage_url=None), "a", b"other")
    storage = storage_at(f"file://{tmp_path / 'bucket'}")
    assert storage.push(artifact)
    assert not storage.push(other)
    third = ArtifactStore(tmp_path / "third" / "artifacts", storage.url).find(KEY, artifact.version)
    assert third is not None
    assert third.file("parts/vectors-0.npy").read_bytes() == b"one"


def test_content_that_is_not_what_its_name_says_is_not_used(tmp_path: Path) -> None:
    first, second = stores(tmp_path)
    artifact = made(first, "a")
    (stored,) = [path for path in (tmp_path / "bucket" / "objects").rglob("*") if path.is_file()]
    stored.write_bytes(b"vectorz")
    with pytest.raises(StorageError, match=r"vectors-0\.npy, has another content than its name says"):
        second.find(KEY, artifact.version)
    assert not list(second.root.rglob("vectors-0.npy"))
    assert not second.is_stored(artifact.manifest.files[0].sha256, 7)
    stored.unlink()
    with pytest.raises(StorageError, match="is gone"):
        second.find(KEY, artifact.version)


def test_a_push_that_was_killed_leaves_nothing_that_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = stores(tmp_path)
    storage = storage_at(f"file://{tmp_path / 'bucket'}")

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_create", killed)
        with pytest.raises(KeyboardInterrupt):
            made(first, "a")
    assert first.published(KEY) == set()
    artifact = made(first, "a", expected=False)
    assert made(second, "a", expected=False).manifest == artifact.manifest


def test_the_cache_stays_within_its_bound_and_spares_what_is_used(tmp_path: Path) -> None:
    (store,) = stores(tmp_path, 1, cache=250)
    artifacts = []
    with leased(store.root) as lease:
        for number, seed in enumerate("abcd"):
            artifacts.append(made(store, seed, seed.encode() * 100))
            if seed == "a":
                lease.hold(KEY, artifacts[0].version)
            os.utime(artifacts[-1].path / "manifest.json", (number, number))
        here = [artifact.file("parts/vectors-0.npy").exists() for artifact in artifacts]
    assert here == [True, False, False, True]
    assert {artifact.version for artifact in store.all_versions()} == {artifact.version for artifact in artifacts}
    again = store.find(KEY, artifacts[1].version)
    assert again is not None
    assert again.file("parts/vectors-0.npy").read_bytes() == b"b" * 100


def test_gc_removes_there_what_nothing_names(tmp_path: Path) -> None:
    first, second = stores(tmp_path)
    old, new = made(first, "a", b"old"), made(first, "b", b"new")
    storage = storage_at(f"file://{tmp_path / 'bucket'}")
    first.remove(old)
    assert storage.sweep(dt.timedelta(days=1)) == 0
    assert storage.sweep(dt.timedelta(0)) == 3
    assert second.find(KEY, old.version) is None
    assert second.find(KEY, new.version) is not None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "bucket/prefix"}, "begins with s3://"),
        ({"url": "s3://key:secret@bucket/p"}, "set them in the environment"),
        ({"url": "s3:///p"}, "names no bucket"),
        ({"cache_gb": 3}, r"without storage\.url"),
    ],
)
def test_addresses_that_are_none(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        StorageSettings.model_validate(given)


def test_a_server_that_is_not_there_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("gotd_assets.artifacts.storage._AT_FIRST", dt.timedelta(seconds=1))
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL"):
        storage_at("s3://nobody/there")
