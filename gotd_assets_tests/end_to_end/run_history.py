"""Dagster's history of runs as tests keep it: a run takes 6.0 instead of 8.7 processor seconds."""

import contextlib
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import dagster as dg
import sqlalchemy
import yaml
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy.pool import NullPool

from gotd_assets_tests.once import made_once

REPOSITORY = Path(__file__).parents[2]
_HISTORY = ".gotd/dagster/history"


class EventLog(ConsolidatedSqliteEventLogStorage):
    """Dagster's own for tests, one database for all runs instead of one for each, which keeps what it has compiled."""

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        waits = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
        return sqlalchemy.create_engine(self._conn_string, poolclass=NullPool, connect_args=waits)

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlalchemy.Connection]:
        with self._engine.begin() as connection:
            yield connection


def event_log(folder: str) -> dict[str, object]:
    return {"module": __name__, "class": EventLog.__name__, "config": {"base_dir": folder}}


def keep_history(folder: Path) -> None:
    """Write dagster.yaml into the project in `folder`, and the databases that it names, unless they are there."""
    shipped = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text(encoding="utf-8"))
    (folder / "dagster.yaml").write_text(yaml.safe_dump(_with_our_log(shipped)), encoding="utf-8")
    if not (folder / ".gotd" / "dagster").exists():
        template = made_once("dagster", _make_databases)
        shutil.copytree(template / ".gotd" / "dagster", folder / ".gotd" / "dagster")


def keep_history_as_shipped(folder: Path) -> None:
    """The project in `folder` as a user's is; no run of it may be on record yet."""
    shutil.rmtree(folder / ".gotd" / "dagster", ignore_errors=True)
    shutil.copyfile(REPOSITORY / "dagster.yaml", folder / "dagster.yaml")


def _with_our_log(shipped: dict[str, object]) -> dict[str, object]:
    kept = {name: section for name, section in shipped.items() if name != "storage"}
    own = {
        "run_storage": ("dagster._core.storage.runs", "SqliteRunStorage", _HISTORY),
        "schedule_storage": ("dagster._core.storage.schedules", "SqliteScheduleStorage", ".gotd/dagster/schedules"),
    }
    for section, (module, name, folder) in own.items():
        kept[section] = {"module": module, "class": name, "config": {"base_dir": folder}}
    return {**kept, "event_log_storage": event_log(_HISTORY)}


def _make_databases(folder: Path) -> None:
    text = yaml.safe_dump(_with_our_log({})).replace(".gotd", str(folder / ".gotd"))
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert not instance.get_runs()
