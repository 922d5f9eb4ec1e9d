"""`gotd reproduce`: a selection made again from the record, in a real project."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest
import yaml

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.project import copied, gotd


def selection_of(folder: Path) -> Artifact:
    return ArtifactStore(folder / ".gotd" / "artifacts").current(ArtifactKey("selected_subset", "film/gotd"))


def files_below(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied(finished, tmp_path_factory.mktemp("project"))
    # What gotd.yaml says from now on is not what the selection was made with.
    path = folder / "gotd.yaml"
    text = path.read_text().replace("budget: 8", "budget: 5").replace("data/news.jsonl", "data/*.jsonl")
    changed = {
        "transport": {"cost": "euclidean", "epsilon": 0.5},
        "preparation": {"unicode": "NFKC", "min_chars": 50},
        "duplicates": {"near": False},
        "checks": {"max_source_share": 0.01, "min_documents": 1000},
    }
    path.write_text(yaml.safe_dump({**yaml.safe_load(text), **changed}))
    return folder


def threads(database: Path, run_count: int) -> set[str]:
    """Threads of the solves in the newest `run_count` Dagster runs, asked with nothing but DuckDB."""
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            "SELECT c.value FROM (SELECT e.* FROM events AS e JOIN artifacts AS a ON a.artifact_key = e.artifact_key "
            "WHERE a.asset = 'ot_potentials' ORDER BY e.created_at DESC LIMIT $count) AS e "
            "JOIN conditions AS c ON c.conditions_id = e.conditions_id AND c.condition = 'torch_threads'",
            {"count": run_count},
        ).fetchall()
    return {value for (value,) in rows}


@pytest.mark.parametrize("arguments", [[], pytest.param(["--all"], marks=pytest.mark.slow)])
def test_the_same_bytes_come_out_with_the_settings_and_threads_of_then(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    version = selection_of(project).version
    before = files_below(project / ".gotd" / "artifacts")
    # Not the number that it was made with.
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    done = gotd(project, "reproduce", version[:8], "--keep", str(tmp_path / "kept"), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"version {version}: 2 files" in " ".join(done.stdout.split())
    assert ("verified and reused" in done.stdout) == (not arguments)
    assert files_below(project / ".gotd" / "artifacts") == before
    assert not list((project / ".gotd" / "tmp").glob("reproduce-*"))
    assert threads(project / ".gotd" / "lineage.duckdb", 1) == {"1"}
    assert threads(tmp_path / "kept" / "lineage.duckdb", 1) == {"1"}


def test_a_source_file_that_changed_is_refused_by_name(project: Path) -> None:
    path = project / "data" / "mixed.jsonl"
    text = path.read_text()
    path.write_text(text + json.dumps({"text": "one more"}) + "\n")
    try:
        done = gotd(project, "reproduce", selection_of(project).version)
        assert done.returncode == 2
        assert "data/mixed.jsonl has changed" in " ".join(done.stderr.split())
    finally:
        path.write_text(text)


@pytest.mark.slow
def test_files_of_that_time_may_stand_elsewhere(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "data", tmp_path / "then" / "data")
    shutil.copytree(project / "encoder", tmp_path / "then" / "encoder")
    path = project / "data" / "mixed.jsonl"
    text = path.read_text()
    path.write_text(json.dumps({"text": "all else is gone"}) + "\n")
    try:
        done = gotd(project, "reproduce", selection_of(project).version, "--files", str(tmp_path / "then"))
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
        connection.execute("UPDATE conditions SET value = 'a processor of then' WHERE condition = 'processor'")
        connection.execute("UPDATE packages SET package_version = '0.1' WHERE package = 'torch'")
    try:
        done = gotd(project, "reproduce", artifact.version, "--keep", str(tmp_path / "kept"))
        assert done.returncode == 1
        shown = " ".join(done.stdout.split())
        assert "subset.parquet: sha256" in shown
        assert "instead of 0000000000000000…" in shown
        assert "processor was a processor of then, now " in shown
        assert "package torch was 0.1, now " in shown
        assert "torch_threads" not in shown
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
        assert done.returncode == 2
        assert "is not as recorded, so it cannot be reused: run with --all" in " ".join(done.stderr.split())
    finally:
        path.write_bytes(content)
