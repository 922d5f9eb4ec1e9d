"""A database of an older release is brought forward whole or not at all; one of a newer release is left alone."""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from gotd_assets.artifacts.artifact import ArtifactFile
from gotd_assets.errors import LineageError
from gotd_assets.lineage import LineageStore, Materialisation
from gotd_assets.lineage.statements import migrations, sql_directory
from gotd_assets_tests.lineage.conftest import World

NEXT = len(migrations()) + 1
# Databases made by these are in use: a changed one would leave them with another schema than new ones.
RELEASED = {
    1: "db1ad21c6bafaca64b6165c440bc0d9dd6574cc55141a8ec0451db19b5508eaa",
    2: "59f4c1b2a86e27271b911ce4d502dd055cf2fab34500b2dfd467ad1f6075c13e",
    3: "682551b7ac1bbffe070de118a57c7df95dc9ac915768eec957162338056cf59b",
    4: "d5864e35656ef06b97e308974c3fc55353bfdecbe3de0bd6c243822f8da72313",
}
# What the first release recorded: a file that was read, a model made of it, and the model used again.
FIRST_RELEASE_ROWS = """
INSERT INTO artifacts VALUES
    (1, 'raw_candidates', 'news', 'raw_candidates[news]', 'aaaaaaaa-raw', '1', '{"seed": 3}', '{}', NULL),
    (2, 'pre_fine_tuned_model', 'imdb', 'pre_fine_tuned_model[imdb]', 'bbbbbbbb-model', '2', '{}', '{}', '/artifacts/m');
INSERT INTO edges VALUES (2, 'raw_candidates[news]', 'aaaaaaaa-raw');
INSERT INTO source_files VALUES (1, 'data/news.jsonl', 5, repeat('1', 64));
INSERT INTO events VALUES
    ('e1', 1, TIMESTAMP '2026-01-01 10:00', TIMESTAMP '2026-01-01 10:00', 'r1', 's', false, 'packages-1', false),
    ('e2', 2, TIMESTAMP '2026-01-01 11:00', TIMESTAMP '2026-01-01 11:00', 'r1', 's', false, 'packages-1', false),
    ('e3', 2, TIMESTAMP '2026-01-02 11:00', TIMESTAMP '2026-01-02 11:00', 'r2', 's', true, 'packages-1', false);
INSERT INTO packages VALUES ('packages-1', 'torch', '2.13.0');
INSERT INTO files VALUES (2, 'e2', 'model.safetensors', 11, repeat('2', 64));
INSERT INTO schema_migrations VALUES (1, 'lineage', TIMESTAMP '2026-01-01 09:00');
"""
OPEN = """
import sys
from pathlib import Path
from gotd_assets.lineage import LineageStore, Materialisation
store = LineageStore(Path(sys.argv[1]))
store.record(Materialisation(asset="a", version=sys.argv[2], code_version="1"))
print(store.audit("selection_history").height)
"""


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """The next release of this package: the same, with one more migration and one more audit."""
    root = tmp_path / "next"
    shutil.copytree(Path(sys.modules["gotd_assets"].__file__ or "").parent, root / "gotd_assets")
    shutil.copytree(sql_directory(), root / "sql")
    (root / "sql" / "migrations" / f"{NEXT:04d}_reviews.sql").write_text(
        "ALTER TABLE events ADD COLUMN reviewer VARCHAR;\nCREATE TABLE reviews (event_key VARCHAR NOT NULL);\n"
    )
    (root / "sql" / "audits" / "reviews_of.sql").write_text(
        "-- title: Who reviewed?\n-- description: All.\n-- example: FROM reviews_of()\n"
        "CREATE OR REPLACE MACRO reviews_of() AS TABLE FROM reviews;\n"
    )
    statement = root / "sql" / "statements" / "record_event.sql"
    statement.write_text(
        statement.read_text().replace("$settings_id\nFROM comparison", "$settings_id, 'nobody'\nFROM comparison")
    )
    return root


def start(release: Path, path: Path, version: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OPEN), str(path), version],
        env={**os.environ, "PYTHONPATH": str(release)},
        cwd=release,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_several_processes_of_the_next_release_migrate_once_and_keep_everything(
    world: World, next_release: Path
) -> None:
    before = world.store.audit("selection_history")
    processes = [start(next_release, world.store.path, f"version-{number}") for number in range(3)]
    outcomes = [(*process.communicate(), process.returncode) for process in processes]
    assert outcomes == [(f"{before.height}\n", "", 0)] * 3
    with duckdb.connect(world.store.path, read_only=True) as connection:
        applied = connection.execute("SELECT version, name FROM schema_migrations ORDER BY version").fetchall()
        assert applied[-1] == (NEXT, "reviews")
        assert len(applied) == NEXT
        assert connection.execute("SELECT reviewer, count(*) FROM events GROUP BY ALL ORDER BY ALL").fetchall() == [
            ("nobody", 3),
            (None, 24),
        ]
        assert connection.execute("SELECT count(*) FROM audits WHERE audit = 'reviews_of'").fetchall() == [(1,)]


def test_a_database_of_the_next_release_is_refused_and_untouched(world: World, next_release: Path) -> None:
    process = start(next_release, world.store.path, "version-0")
    process.communicate()
    content = world.store.path.read_bytes()
    with pytest.raises(
        LineageError, match=f"has schema {NEXT}, this version of gotd-assets knows schemas up to {NEXT - 1}"
    ):
        LineageStore(world.store.path)
    # Also one that was opened before the other release came.
    with pytest.raises(LineageError, match="upgrade gotd-assets"):
        world.store.audit("stale")
    assert world.store.path.read_bytes() == content


def test_a_migration_that_fails_changes_nothing(world: World, next_release: Path) -> None:
    with (next_release / "sql" / "migrations" / f"{NEXT:04d}_reviews.sql").open("a") as file:
        file.write("INSERT INTO no_such_table VALUES (1);\n")
    before = world.store.audit("selection_history")
    process = start(next_release, world.store.path, "version-0")
    _, complaint = process.communicate()
    assert process.returncode != 0
    assert "no_such_table" in complaint
    assert LineageStore(world.store.path).audit("selection_history").equals(before)


@pytest.mark.parametrize("number", RELEASED)
def test_a_released_migration_is_never_edited(number: int) -> None:
    assert hashlib.sha256(migrations()[number - 1].sql.encode()).hexdigest() == RELEASED[number]


def test_a_database_of_the_first_release_keeps_its_rows_and_records_conditions_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "lineage.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(migrations()[0].sql)
        connection.execute(FIRST_RELEASE_ROWS)
    store = LineageStore(path)
    before = store.audit("model_origin", model="bbbbbbbb")
    facts = set(before.select("artifact", "kind", "item").iter_rows())
    assert ("pre_fine_tuned_model[imdb]", "made", "run r1") in facts
    assert ("pre_fine_tuned_model[imdb]", "reused", "run r2") in facts
    assert ("pre_fine_tuned_model[imdb]", "package", "torch") in facts
    assert ("raw_candidates[news]", "source file", "data/news.jsonl") in facts
    assert not before.filter(before["kind"] == "condition").height
    assert store.reproduction_record("bbbbbbbb", asset=None)[-1]["conditions"] == {}
    made = Materialisation(
        asset="pre_fine_tuned_model",
        partition="imdb",
        version="bbbbbbbb-model",
        code_version="2",
        files=[ArtifactFile("model.safetensors", 11, "2" * 64)],
        run_id="r3",
        conditions={"torch_threads": "4"},
    )
    store.record(made)
    store.record(dataclasses.replace(made, run_id="r4", reused=True, conditions={"torch_threads": "8"}))
    assert store.reproduction_record("bbbbbbbb", asset=None)[-1]["conditions"] == {"torch_threads": "4"}
    after = store.audit("model_origin", model="bbbbbbbb")
    assert after.filter(after["kind"] == "condition").select("item", "detail").rows() == [("torch_threads", "4")]
    assert set(before.rows()) < set(after.rows())


def test_audits_this_release_does_not_know_are_removed_and_changed_ones_renewed(world: World) -> None:
    with duckdb.connect(world.store.path) as connection:
        connection.execute("CREATE OR REPLACE MACRO stale() AS TABLE SELECT 'of another release' AS artifact")
        connection.execute("UPDATE audits SET definition = 'other' WHERE audit = 'stale'")
        connection.execute("CREATE MACRO gone() AS TABLE SELECT 1")
        connection.execute("INSERT INTO audits VALUES ('gone', 't', 'd', 'e', 'f')")
    assert LineageStore(world.store.path).audit("stale").is_empty()
    with duckdb.connect(world.store.path) as connection:
        assert connection.execute("SELECT count(*) FROM audits WHERE audit = 'gone'").fetchall() == [(0,)]
        with pytest.raises(duckdb.CatalogException):
            connection.execute("FROM gone()")


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "sales.duckdb") as connection:
        connection.execute("CREATE TABLE sales (amount INTEGER)")
    with pytest.raises(LineageError, match="is a DuckDB database, but not one of lineage"):
        LineageStore(tmp_path / "sales.duckdb")


def test_a_file_that_is_no_database_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "lineage.duckdb").write_text("hello" * 1000)
    with pytest.raises(LineageError, match=r"cannot be opened: .* `gotd restore BACKUP` replaces it"):
        LineageStore(tmp_path / "lineage.duckdb")


def test_migrations_are_numbered_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("")
    (tmp_path / "0003_third.sql").write_text("")
    with pytest.raises(LineageError, match=r"expected migration 0002_some_words\.sql here"):
        migrations(tmp_path)
