"""A backup is the whole database of one moment; restoring it puts that moment back and deletes nothing."""

import itertools
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from gotd_assets.errors import LineageError
from gotd_assets.lineage import LineageStore, Materialisation
from gotd_assets_tests.lineage.conftest import World

# `gotd backup` or `gotd restore` in a process that the kernel kills: before the n-th change to the names of files, or when
# a file grows beyond so many bytes.
KILLED = """
import os, resource, signal, sys
from pathlib import Path
from gotd_assets.lineage import LineageStore
verb, database, other, change, size = sys.argv[1:]
store = LineageStore(Path(database))
changes = 0
def watch(event, _):
    global changes
    if event in ("shutil.copyfile", "os.link", "os.rename", "os.remove"):
        changes += 1
        if changes == int(change):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
if int(size):
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
if verb == "backup":
    store.backup(Path(other))
else:
    LineageStore.restore(Path(database), Path(other))
"""
LATER = Materialisation(asset="later", version="l" * 32, code_version="1", run_id="later")


def test_a_restored_database_answers_as_on_the_day_of_the_backup(world: World, tmp_path: Path) -> None:
    backup = world.store.backup(tmp_path / "safe" / "monday.duckdb")
    before = world.store.audit("selection_history")
    world.store.record(LATER)
    former = LineageStore.restore(world.store.path, backup)
    assert world.store.audit("run_materialisations", run="later").is_empty()
    assert world.store.audit("selection_history").equals(before)
    assert former is not None
    assert LineageStore(former).audit("run_materialisations", run="later").height == 1
    assert backup.exists()
    world.store.record(LATER)
    assert LineageStore(backup).audit("run_materialisations", run="later").is_empty()


def test_a_folder_gets_a_dated_file_and_nothing_else(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "safe"
    folder.mkdir()
    written = world.store.backup(folder)
    assert list(folder.iterdir()) == [written]
    assert written.name.startswith("lineage-20")
    assert LineageStore(written).audit("selection_history").height == 4


def test_backups_taken_while_others_write_hold_whole_transactions(world: World, tmp_path: Path) -> None:
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not stop.is_set():
            number = len(written)
            world.store.record(Materialisation(asset="a", version=f"{number:08d}", code_version="1", run_id="burst"))
            written.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    counts = []
    for number in range(3):
        least = len(written)
        backup = world.store.backup(tmp_path / f"{number}.duckdb")
        found = LineageStore(backup).audit("run_materialisations", run="burst").height
        assert least <= found <= len(written) + 1
        counts.append(found)
    stop.set()
    thread.join()
    assert counts == sorted(counts)


def test_what_a_killed_writer_left_in_the_log_is_in_the_backup(world: World, tmp_path: Path) -> None:
    # A commit without a checkpoint, as after kill -9: it stands in the write-ahead log, not in the file.
    with duckdb.connect(world.store.path) as connection:
        connection.execute("SET checkpoint_threshold = '1TB'")
        connection.execute("INSERT INTO forgotten VALUES (uuid(), now()::TIMESTAMP, 'left in the log')")
        for suffix in ("", ".wal"):
            shutil.copyfile(f"{world.store.path}{suffix}", tmp_path / f"killed.duckdb{suffix}")
    killed = LineageStore(tmp_path / "killed.duckdb")
    assert killed.forgotten_documents()["reason"].to_list() == ["left in the log"]
    backup = killed.backup(tmp_path / "backup.duckdb")
    assert LineageStore(backup).forgotten_documents()["reason"].to_list() == ["left in the log"]


def test_a_damaged_database_can_be_replaced(world: World, tmp_path: Path) -> None:
    backup = world.store.backup(tmp_path / "backup.duckdb")
    with world.store.path.open("r+b") as file:
        file.write(b"\0" * 8192)
    with pytest.raises(LineageError, match="cannot be opened"):
        world.store.audit("stale")
    former = LineageStore.restore(world.store.path, backup)
    assert former is not None
    assert former.read_bytes()[:8192] == b"\0" * 8192
    assert world.store.audit("selection_history").height == 4


def test_a_lost_database_can_be_put_back(world: World, tmp_path: Path) -> None:
    backup = world.store.backup(tmp_path / "backup.duckdb")
    assert LineageStore.restore(tmp_path / "new" / "lineage.duckdb", backup) is None
    assert LineageStore(tmp_path / "new" / "lineage.duckdb").audit("selection_history").height == 4


@pytest.mark.parametrize("content", [b"", b"hello" * 5000])
def test_what_is_no_backup_is_refused_and_the_database_stays(world: World, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong").write_bytes(content)
    with pytest.raises(LineageError):
        LineageStore.restore(world.store.path, tmp_path / "wrong")
    with pytest.raises(LineageError, match="does not exist"):
        LineageStore.restore(world.store.path, tmp_path / "nothing")
    assert world.store.audit("selection_history").height == 4


def test_the_database_is_not_its_own_backup(world: World) -> None:
    with pytest.raises(LineageError, match="is the database itself"):
        world.store.backup(world.store.path)


def test_a_backup_that_cannot_be_written_leaves_the_former_one(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LineageError, match="cannot be backed up"):
        world.store.backup(tmp_path / "file" / "backup.duckdb")


def killed(verb: str, database: Path, other: Path, *, change: int = 0, size: int = 0) -> int:
    command = [sys.executable, "-c", KILLED, verb, str(database), str(other), str(change), str(size)]
    return subprocess.run(command, check=False, capture_output=True).returncode


def every_kill(verb: str, database: Path, other: Path) -> Iterator[int]:
    """Let `verb` be killed half-way through its copy, then before every change it makes to names of files."""
    assert killed(verb, database, other, size=database.stat().st_size // 2) == -signal.SIGXFSZ
    yield 0
    for change in itertools.count(1):
        code = killed(verb, database, other, change=change)
        if code == 0:
            assert change > 2
            return
        assert code == -signal.SIGKILL
        yield change


def test_a_backup_killed_at_any_moment_leaves_nothing_that_looks_like_one(world: World, tmp_path: Path) -> None:
    safe = tmp_path / "safe"
    safe.mkdir()
    monday = world.store.backup(safe / "monday.duckdb")
    history = world.store.audit("selection_history")
    world.store.record(LATER)
    partial = 0
    for change in every_kill("backup", world.store.path, monday):
        assert [path.name for path in safe.iterdir() if not path.name.startswith(".")] == ["monday.duckdb"]
        partial = max(partial, sum(path.stat().st_size > 0 for path in safe.glob(".*")))
        # Copied in another place to be looked at: a look must not mend it.
        look = LineageStore(Path(shutil.copyfile(monday, tmp_path / f"{change}.duckdb")))
        assert look.audit("selection_history").equals(history)
        assert world.store.audit("run_materialisations", run="later").height == 1
    assert partial == 1, "no copy was begun, or what killed ones left was not removed"
    assert LineageStore(monday).audit("run_materialisations", run="later").height == 1
    assert [path.name for path in safe.iterdir() if path.suffix not in (".lock", ".queue")] == ["monday.duckdb"]


def test_a_restore_killed_at_any_moment_leaves_the_former_database_or_the_backup(world: World, tmp_path: Path) -> None:
    history = world.store.audit("selection_history")
    backup = world.store.backup(tmp_path / "safe" / "backup.duckdb")
    world.store.record(LATER)
    after = shutil.copyfile(world.store.path, tmp_path / "after.duckdb")
    restored = []
    for _ in every_kill("restore", world.store.path, backup):
        assert world.store.audit("selection_history").equals(history)
        restored.append(world.store.audit("run_materialisations", run="later").is_empty())
        # Whatever it is, it can be written to; and the next kill finds the state before the restoration again.
        assert world.store.record(Materialisation(asset="a", version=f"{len(restored):08d}", code_version="1"))
        Path(shutil.copyfile(after, tmp_path / "again.duckdb")).replace(world.store.path)
    assert restored[0] is False
    assert world.store.audit("run_materialisations", run="later").is_empty()
    assert world.store.audit("run_materialisations", run="later").is_empty()
    formers = list(tmp_path.glob("lineage.duckdb.before-restore-*"))
    assert LineageStore(max(formers)).audit("run_materialisations", run="later").height == 1
    assert not list(tmp_path.glob(".*"))
