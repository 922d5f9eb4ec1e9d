"""A backup is the whole database of one moment; restoring it puts that moment back and deletes nothing."""

import shutil
import threading
from pathlib import Path

import duckdb
import pytest

from gotd_assets.errors import LineageError
from gotd_assets.lineage import LineageStore, Materialisation
from gotd_assets_tests.lineage.conftest import World

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
