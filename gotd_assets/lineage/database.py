"""The lineage database in its newest schema: created, migrated forward, opened to read or to write."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb

from gotd_assets.artifacts.atomic import file_made, sweep
from gotd_assets.errors import LineageError
from gotd_assets.lineage import audits, statements
from gotd_assets.lineage.access import Mode, connected, transaction, turn


class Database:
    """The lineage database at `path`, created and migrated when first opened.

    Args:
        path: the DuckDB file; its folder is created.
        timeout_seconds: how long to wait for others before giving up.
    """

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        self.path = path.resolve()
        self.timeout_seconds = timeout_seconds
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.reading():
            pass

    @contextlib.contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to the newest committed state. Others may read meanwhile.

        Raises:
            LineageError: others kept the database busy for longer than the time limit, it is of a newer schema, or
                it is not a lineage database.
        """
        self._create_if_absent()
        with (
            turn(self.path, Mode.READING, self.timeout_seconds) as deadline,
            connected(self.path, deadline, read_only=True) as connection,
        ):
            if _is_current(connection, self.path):
                with self._failures_told("answer"):
                    yield connection
                return
        with turn(self.path, Mode.WRITING, self.timeout_seconds) as deadline:
            with connected(self.path, deadline, read_only=False) as connection:
                _migrate(connection, self.path)
            with connected(self.path, deadline, read_only=True) as connection, self._failures_told("answer"):
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside one transaction: committed and on disk when the block ends, undone if it raises.

        Raises:
            LineageError: as for `reading`.
        """
        self._create_if_absent()
        with (
            turn(self.path, Mode.WRITING, self.timeout_seconds) as deadline,
            connected(self.path, deadline, read_only=False) as connection,
        ):
            _migrate(connection, self.path)
            with self._failures_told("record"), transaction(connection):
                yield connection

    @contextlib.contextmanager
    def _failures_told(self, what: str) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise LineageError(f"{self.path} could not {what} this, and is as it was before: {error}") from error

    def _create_if_absent(self) -> None:
        """Make the database under another name and link it into place: it exists whole or not at all."""
        if self.path.exists():
            return
        sweep(self.path.parent)
        with file_made(self.path) as partial, contextlib.closing(duckdb.connect(partial)) as connection:
            _migrate(connection, self.path)


def schema_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Number of the last migration applied, 0 for an empty database.

    Raises:
        LineageError: it is another kind of database, or of a newer schema than this installation knows.
    """
    ((known, others),) = statements.run(connection, "count_tables").fetchall()
    if not known:
        if others:
            raise LineageError(f"{path} is a DuckDB database, but not one of lineage: name another file")
        return 0
    ((version,),) = statements.run(connection, "schema_version").fetchall()
    newest = len(statements.migrations())
    if version > newest:
        raise LineageError(
            f"{path} has schema {version}, this version of gotd-assets knows schemas up to {newest}: "
            "upgrade gotd-assets, or restore a backup made before the upgrade"
        )
    return int(version)


def utc_now() -> dt.datetime:
    """The time, in UTC, without time zone: as the database keeps times."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def _is_current(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    return schema_version(connection, path) == len(statements.migrations()) and audits.are_current(connection)


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    for migration in statements.migrations()[schema_version(connection, path) :]:
        with transaction(connection):
            connection.execute(migration.sql)
            statements.run(
                connection,
                "record_migration",
                {"version": migration.number, "name": migration.name, "now": utc_now()},
            )
    if not audits.are_current(connection):
        with transaction(connection):
            audits.install(connection)
