"""A source behind a URL through the assets: lineage names the URL, a look sees its change, an unchanged one is reused."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import fsspec
import pytest

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.lineage import LineageStore
from gotd_assets.settings.file import load_project
from gotd_assets.watch.memory import Memory
from gotd_assets.watch.review import review_sources
from gotd_assets_tests.end_to_end.project import make_project

SOURCE = "memory://gotd-end-to-end/news.jsonl"
TARGET = "memory://gotd-end-to-end/film.jsonl"


def put(url: str, *texts: str) -> None:
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    fsspec.filesystem("memory").pipe_file(url, content.encode())


class World:
    def __init__(self, folder: Path) -> None:
        from gotd_assets.definitions import defs

        self.folder = folder
        self.job = defs().resolve_implicit_global_asset_job_def()
        self.lineage = LineageStore(folder / ".gotd" / "lineage.duckdb")

    def make(self, asset: str, partition: str) -> Artifact:
        done = self.job.execute_in_process(partition_key=partition, asset_selection=[dg.AssetKey(asset)])
        assert done.success
        return ArtifactStore(self.folder / ".gotd" / "artifacts").current(ArtifactKey(asset, partition))

    def look(self) -> list[tuple[str, str]]:
        project = load_project(self.folder / "gotd.yaml")
        memory = Memory()
        review_sources(project, memory, (), 1000.0)
        return [(request.name, request.reason) for request in review_sources(project, memory, (), 2000.0).requests]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    put(SOURCE, "some news", "other news")
    put(TARGET, "a film", "two films", "three films")
    settings = make_project(
        tmp_path, sources=[{"name": "news", "path": SOURCE}], targets=[{"name": "film", "path": TARGET}]
    )
    monkeypatch.setenv("GOTD_SETTINGS", str(settings))
    yield World(tmp_path)
    fsspec.filesystem("memory").rm("/gotd-end-to-end", recursive=True)


def test_lineage_names_the_url_and_checksums_its_content(world: World) -> None:
    documents = scan_documents(world.make("raw_candidates", "news").path).collect()
    assert documents["origin"].to_list() == [f"{SOURCE}:1", f"{SOURCE}:2"]
    assert world.make("target_documents", "film").manifest.summary["kept"] == 3
    (made,) = world.lineage.audit("file_reach", file="news.jsonl").to_dicts()
    assert (made["path"], made["artifact"]) == (SOURCE, "raw_candidates[news]")
    assert made["sha256"] == hashlib.sha256(fsspec.filesystem("memory").cat_file(SOURCE)).hexdigest()
    verified = world.lineage.verify()
    assert set(verified.filter(kind="source file")["path"]) == {SOURCE, TARGET}
    assert set(verified.filter(kind="source file")["state"]) == {"remote"}
    assert world.lineage.verify(damaged_only=True).height == 0
    inputs = [item for event in world.lineage.openlineage_events() for item in event["inputs"]]
    assert ("memory://gotd-end-to-end", "news.jsonl") in [(item["namespace"], item["name"]) for item in inputs]


def test_a_look_sees_the_change_and_the_run_after_it_settles_it(world: World) -> None:
    first = world.make("raw_candidates", "news")
    assert world.look() == []
    put(SOURCE, "some news", "other news", "new news")
    assert world.look() == [("news", "its files changed")]
    second = world.make("raw_candidates", "news")
    assert second.manifest.summary["kept"] == 3
    assert world.look() == []
    assert second.version != first.version


def test_a_file_written_again_with_the_same_content_gives_the_same_version(world: World) -> None:
    first = world.make("raw_candidates", "news")
    put(SOURCE, "some news", "other news")
    assert world.make("raw_candidates", "news").version == first.version
