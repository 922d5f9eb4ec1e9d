"""A copy of the lineage database in one file, and the way back."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import time
from pathlib import Path

from gotd_assets.artifacts.atomic import replaced, sweep
from gotd_assets.errors import LineageError
from gotd_assets.lineage.access import Mode, UnreadableError, connected, turn
from gotd_assets.lineage.database import schema_version


def back_up(database: Path, destination: Path, timeout_seconds: float) -> Path:
    """Copy the database, whole and in one moment, to `destination` (a file, or a folder to put a dated one in).

    Writers wait until the copy is made. The copy is a DuckDB file of its own, checked by opening it. An existing file
    is replaced only when the new one is complete.

    Returns:
        The file written.

    Raises:
        LineageError: the database was busy for too long, or the destination is the database itself or cannot be written.
    """
    if destination.is_dir():
        destination = destination / f"lineage-{_timestamp()}.duckdb"
    destination = destination.resolve()
    if destination == database:
        raise LineageError(f"{destination} is the database itself: name another file to back up to")
    try:
        sweep(destination.parent)
        with replaced(destination) as temporary:
            with turn(database, Mode.WRITING, timeout_seconds) as deadline:
                with connected(database, deadline, read_only=False) as connection:
                    connection.checkpoint()
                # Connected for reading, so that no program from outside writes while the file is copied.
                with connected(database, deadline, read_only=True):
                    shutil.copyfile(database, temporary)
            _require_lineage(temporary)
    except OSError as error:
        raise LineageError(f"{database} cannot be backed up to {destination}: {error}") from error
    return destination


def restore(database: Path, backup: Path, timeout_seconds: float) -> Path | None:
    """Put a copy of `backup` in the place of the database, which is set aside, not deleted.

    A backup of an older schema is migrated when the store is next opened. A damaged database can be replaced too.

    Returns:
        Where the former database is now; None if there was none.

    Raises:
        LineageError: the backup is not a lineage database or of a newer schema, or the database was busy for too long.
    """
    if not backup.is_file():
        raise LineageError(f"{backup} does not exist: name the file that `gotd backup` wrote")
    database = database.resolve()
    former = None
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        sweep(database.parent)
        with turn(database, Mode.WRITING, timeout_seconds) as deadline, replaced(database) as temporary:
            shutil.copyfile(backup, temporary)
            _require_lineage(temporary)
            if database.exists():
                _wait_until_unused(database, deadline)
                former = database.with_name(f"{database.name}.before-restore-{_timestamp()}")
                _set_aside(database, former)
    except OSError as error:
        raise LineageError(f"{database} cannot be restored from {backup}: {error}") from error
    return former


def _wait_until_unused(database: Path, deadline: float) -> None:
    with (
        contextlib.suppress(UnreadableError),
        connected(database, deadline, read_only=False) as connection,
    ):
        connection.checkpoint()


def _set_aside(database: Path, former: Path) -> None:
    """Give the database a second name, under which it stays when the first one goes to the backup.

    Were it renamed, a kill before the backup takes its place would leave none, and the next process would begin an
    empty one.
    """
    os.link(database, former)
    # Only a database that could not be opened still has one; with the backup it would be another's.
    write_ahead = database.with_name(f"{database.name}.wal")
    if write_ahead.exists():
        write_ahead.rename(former.with_name(f"{former.name}.wal"))


def _require_lineage(path: Path) -> None:
    with connected(path, time.monotonic(), read_only=True) as connection:
        if schema_version(connection, path) == 0:
            raise LineageError(f"{path} is an empty database, not a backup of lineage")


def _timestamp() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")
