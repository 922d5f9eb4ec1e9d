"""Artifacts are all there or not there, never half, and never changed."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gotd_assets.artifacts.artifact import ArtifactKey, artifact_version
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError, MissingArtifactError

KEY = ArtifactKey("scores", "imdb")


def write(store: ArtifactStore, version: str, content: str = "hello", key: ArtifactKey = KEY) -> None:
    with store.write(key, version, code_version="1", inputs={"a": "1"}, parameters={"p": 0.5}) as writer:
        (writer.path / "part").mkdir()
        (writer.path / "part" / "data.txt").write_text(content)
        writer.summary["rows"] = 1


def test_a_written_artifact_is_found_with_its_manifest(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    write(store, "v1")
    artifact = store.find(KEY, "v1")
    assert artifact is not None
    assert artifact.file("part/data.txt").read_text() == "hello"
    assert artifact.manifest.inputs == {"a": "1"}
    assert artifact.manifest.summary == {"rows": 1}
    assert artifact.verify() == []


def test_a_damaged_artifact_is_not_taken_for_one_that_is_missing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    with pytest.raises(MissingArtifactError, match="has not been made yet"):
        store.current(KEY)
    write(store, "v1")
    artifact = store.find(KEY, "v1")
    assert artifact is not None
    store.publish(artifact)
    artifact.file("part/data.txt").unlink()
    with pytest.raises(ArtifactError, match=r"part/data\.txt") as caught:
        store.current(KEY)
    assert not isinstance(caught.value, MissingArtifactError)


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    with (
        pytest.raises(RuntimeError),
        store.write(KEY, "v1", code_version="1", inputs={}, parameters={}) as writer,
    ):
        (writer.path / "data.txt").write_text("half")
        raise RuntimeError
    assert store.find(KEY, "v1") is None
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_killed_writer_leaves_the_old_world_and_is_swept(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from gotd_assets.artifacts.artifact import ArtifactKey
        from gotd_assets.artifacts.store import ArtifactStore
        store = ArtifactStore(Path({str(tmp_path / "artifacts")!r}))
        with store.write(ArtifactKey("scores", "imdb"), "v1", code_version="1", inputs={{}}, parameters={{}}) as writer:
            (writer.path / "data.txt").write_text("half")
            print("writing", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert store.sweep() == 0, "a living writer is left alone"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert store.find(KEY, "v1") is None
    assert store.sweep() == 1
    write(store, "v1")
    assert store.find(KEY, "v1") is not None


def test_the_first_of_two_writers_of_one_version_wins(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    with store.write(KEY, "v1", code_version="1", inputs={}, parameters={}) as late:
        (late.path / "data.txt").write_text("same")
        write(store, "v1", "first")
    assert late.artifact is not None
    assert late.artifact.file("part/data.txt").read_text() == "first"


def test_current_follows_publication_and_a_run_reads_its_own(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    with pytest.raises(ArtifactError, match="materialise scores first"):
        store.current(KEY)
    for version, run in (("v1", "run-1"), ("v2", "run-2")):
        write(store, version)
        artifact = store.find(KEY, version)
        assert artifact is not None
        store.publish(artifact, run)
    assert store.current(KEY).version == "v2"
    assert store.current(KEY, "run-1").version == "v1"
    assert store.current(KEY, "run-3").version == "v2"
    assert [artifact.version for artifact in store.versions(KEY)] == ["v1", "v2"]


def test_verify_names_altered_and_missing_files(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    write(store, "v1")
    artifact = store.find(KEY, "v1")
    assert artifact is not None
    artifact.file("part/data.txt").write_text("hullo")
    assert artifact.verify() == [f"{artifact.path}/part/data.txt: content differs from the recorded checksum"]
    artifact.file("part/data.txt").unlink()
    assert artifact.verify() == [f"{artifact.path}/part/data.txt: missing"]


@pytest.mark.parametrize("name", ["../etc", "a/../../b", "", ".hidden", "a\nb", "/abs"])
def test_names_cannot_leave_the_store(name: str) -> None:
    with pytest.raises(ArtifactError):
        ArtifactKey("scores", name or "/")


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    """The device /dev/full refuses every write with ENOSPC, as a full disk does."""
    script = textwrap.dedent(f"""
        import errno
        from pathlib import Path
        from gotd_assets.errors import ArtifactError, MissingArtifactError
        from gotd_assets.artifacts.artifact import ArtifactKey
        from gotd_assets.artifacts.store import ArtifactStore
        store = ArtifactStore(Path({str(tmp_path / "artifacts")!r}))
        try:
            with store.write(ArtifactKey("scores"), "v1", code_version="1", inputs={{}}, parameters={{}}) as writer:
                with open("/dev/full", "wb", buffering=0) as full:
                    full.write(b"x")
        except ArtifactError as error:
            print(error)
        print(store.find(ArtifactKey("scores"), "v1"))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "no space left on the disk" in done.stdout
    assert done.stdout.endswith("None\n")


def test_version_depends_on_every_part() -> None:
    base = artifact_version("a", "1", {"x": "1"}, {"p": 1})
    assert base == artifact_version("a", "1", {"x": "1"}, {"p": 1})
    others = [
        artifact_version("b", "1", {"x": "1"}, {"p": 1}),
        artifact_version("a", "2", {"x": "1"}, {"p": 1}),
        artifact_version("a", "1", {"x": "2"}, {"p": 1}),
        artifact_version("a", "1", {"x": "1"}, {"p": 2}),
    ]
    assert len({base, *others}) == 5


def test_what_is_published_aside_is_for_its_run_alone_until_it_is_forgotten(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    for version in ("a" * 32, "b" * 32):
        write(store, version)
    store.publish(store.find(KEY, "a" * 32))
    store.publish(store.find(KEY, "b" * 32), "comparison-x", aside=True)
    assert store.current(KEY).version == "a" * 32
    assert store.current(KEY, "comparison-x").version == "b" * 32
    assert store.asides() == {"comparison-x"}
    assert store.published(KEY, store.asides()) == {"a" * 32, "b" * 32}
