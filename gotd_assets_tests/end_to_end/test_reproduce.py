"""`gotd reproduce`: a selection made again from the record, in a real project."""

import json
from pathlib import Path

import duckdb
import pytest
import yaml

from gotd_assets.storage import Artifact, ArtifactKey, ArtifactStore
from gotd_assets_tests.end_to_end.project import gotd, make_project


def selection_of(folder: Path) -> Artifact:
    return ArtifactStore(folder / ".gotd" / "artifacts").current(ArtifactKey("selected_subset", "film/gotd"))


def files_below(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, selection={"budget": 8, "methods": ["gotd"]})
    done = gotd(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("arguments", [[], pytest.param(["--all"], marks=pytest.mark.slow)])
def test_the_same_bytes_come_out_and_the_project_is_untouched(project: Path, arguments: list[str]) -> None:
    version = selection_of(project).version
    before = files_below(project / ".gotd" / "artifacts")
    done = gotd(project, "reproduce", version[:8], *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"version {version}: 2 files" in " ".join(done.stdout.split())
    assert ("verified and reused" in done.stdout) == (not arguments)
    assert files_below(project / ".gotd" / "artifacts") == before
    assert not list((project / ".gotd" / "tmp").glob("reproduce-*"))


def test_a_source_file_that_changed_is_refused_by_name(project: Path) -> None:
    path = project / "data" / "mixed.jsonl"
    text = path.read_text()
    path.write_text(text + json.dumps({"text": "one more"}) + "\n")
    try:
        done = gotd(project, "reproduce", selection_of(project).version)
        assert done.returncode == 1
        assert "data/mixed.jsonl has changed" in " ".join(done.stderr.split())
    finally:
        path.write_text(text)


@pytest.mark.slow
def test_a_setting_that_changed_is_named(project: Path) -> None:
    path = project / "gotd.yaml"
    text = path.read_text()
    path.write_text(yaml.safe_dump({**yaml.safe_load(text), "transport": {"cost": "euclidean"}}))
    try:
        done = gotd(project, "reproduce", selection_of(project).version)
        assert done.returncode == 1
        assert "ot_potentials[film]: parameter cost was sqeuclidean, now euclidean" in " ".join(done.stdout.split())
        (project / "then.yaml").write_text(text)
        done = gotd(project, "reproduce", selection_of(project).version, "--settings", "then.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        path.write_text(text)


@pytest.mark.slow
def test_a_record_of_other_bytes_is_told_apart(project: Path, tmp_path: Path) -> None:
    artifact = selection_of(project)
    database = project / ".gotd" / "lineage.duckdb"
    backup = database.read_bytes()
    with duckdb.connect(str(database)) as connection:
        connection.execute("UPDATE files SET sha256 = repeat('0', 64) WHERE file = 'subset.parquet'")
    try:
        done = gotd(project, "reproduce", artifact.version, "--keep", str(tmp_path / "kept"))
        assert done.returncode == 1
        shown = " ".join(done.stdout.split())
        assert "subset.parquet: sha256" in shown
        assert "instead of 0000000000000000…" in shown
        assert (tmp_path / "kept" / "artifacts" / "selected_subset").is_dir()
    finally:
        database.write_bytes(backup)


@pytest.mark.slow
def test_an_altered_embedding_is_not_reused(project: Path) -> None:
    store = ArtifactStore(project / ".gotd" / "artifacts")
    artifact = store.current(ArtifactKey("candidate_embeddings", "news"))
    path = next(path for path in artifact.path.rglob("*") if path.is_file() and path.name != "manifest.json")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        done = gotd(project, "reproduce", selection_of(project).version)
        assert done.returncode == 1
        assert "is not as recorded, so it cannot be reused: run with --all" in " ".join(done.stderr.split())
    finally:
        path.write_bytes(content)
