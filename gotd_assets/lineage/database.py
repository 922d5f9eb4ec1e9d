"""One DuckDB file, many processes: who may connect when, and in which schema.

DuckDB lets either one process write or several read, and refuses everyone else at once. Here they wait their turn
instead. Two lock files beside the database make the turn: `<name>.lock` is held shared by readers and exclusively by a
writer, and `<name>.queue` is passed through by everyone before that, so that a waiting writer is not overtaken by ever
more readers. Programs that know nothing of these files, such as a DuckDB shell, still hold DuckDB's own lock; connecting
is tried again until they let go. Everything is bounded by one time limit.
"""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import fcntl
import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb

from gotd_assets.errors import LineageError
from gotd_assets.lineage import audits, statements

_IN_USE = ("Could not set lock on file", "with a different configuration", "Unique file handle conflict")
_LONGEST_PAUSE = 0.1  # seconds between two tries
_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}

# Two connections of one process to one file must agree on reading or writing, and closing any descriptor of the file
# drops the process's lock on it: within a process, one connection at a time.
_in_this_process: dict[Path, threading.Lock] = collections.defaultdict(threading.Lock)


class Database:
    """The lineage database at `path`, created and migrated when first opened.

    Args:
        path: the DuckDB file; its folder is created.
        timeout_seconds: how long to wait for others before giving up.
    """

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        self.path = path.resolve()
        self.timeout_seconds = timeout_seconds
        self._migrations = statements.migrations()
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
        if not self.path.exists():
            self._create()
        with self._turn(fcntl.LOCK_SH) as deadline, self._connected(deadline, read_only=True) as connection:
            if self._is_current(connection):
                yield connection
                return
        with self._turn(fcntl.LOCK_EX) as deadline:
            with self._connected(deadline, read_only=False) as connection:
                self._migrate(connection)
            with self._connected(deadline, read_only=True) as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside one transaction: committed and on disk when the block ends, undone if it raises.

        Raises:
            LineageError: as for `reading`.
        """
        if not self.path.exists():
            self._create()
        with self._turn(fcntl.LOCK_EX) as deadline, self._connected(deadline, read_only=False) as connection:
            self._migrate(connection)
            with _transaction(connection):
                yield connection

    @contextlib.contextmanager
    def alone(self) -> Iterator[float]:
        """Keep every other process out without connecting, to copy or replace the file; yields the deadline."""
        with self._turn(fcntl.LOCK_EX) as deadline:
            yield deadline

    def checkpointed(self, deadline: float) -> None:
        """Inside `alone`: bring everything that was committed into the file itself, so that the file is the database."""
        with self._connected(deadline, read_only=False) as connection:
            connection.checkpoint()

    @contextlib.contextmanager
    def _turn(self, mode: int) -> Iterator[float]:
        """Wait for this process's and this thread's turn; yields the deadline for what follows."""
        deadline = time.monotonic() + self.timeout_seconds
        mine = _in_this_process[self.path]
        if not mine.acquire(timeout=self.timeout_seconds):
            raise self._busy("another thread of this process")
        try:
            with (
                self.path.with_name(f"{self.path.name}.queue").open("a") as queue,
                self.path.with_name(f"{self.path.name}.lock").open("a") as gate,
            ):
                self._lock(queue.fileno(), mode, deadline)
                self._lock(gate.fileno(), mode, deadline)
                if mode == fcntl.LOCK_SH:
                    fcntl.flock(queue, fcntl.LOCK_UN)
                yield deadline
        finally:
            mine.release()

    def _lock(self, descriptor: int, mode: int, deadline: float) -> None:
        for _ in _tries(deadline):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
                return
        raise self._busy("another process of this project")

    @contextlib.contextmanager
    def _connected(self, deadline: float, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._connect(deadline, read_only=read_only)
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self, deadline: float, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        for _ in _tries(deadline):
            try:
                return duckdb.connect(self.path, read_only=read_only, config=_CONFIGURATION)
            except (duckdb.IOException, duckdb.ConnectionException, duckdb.BinderException) as error:
                if not any(message in str(error) for message in _IN_USE):
                    raise LineageError(
                        f"{self.path} cannot be opened: {error}; if the file is damaged, `gotd restore BACKUP` replaces it"
                    ) from error
                refusal = str(error)
        raise self._busy(f"another program ({refusal})")

    def _busy(self, whom: str) -> LineageError:
        return LineageError(
            f"{self.path} was kept busy by {whom} for more than {self.timeout_seconds:g} seconds: "
            "close what holds it (a DuckDB shell, say) and run again"
        )

    def _create(self) -> None:
        """Make the database under another name and link it into place: it exists whole or not at all."""
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            with contextlib.closing(duckdb.connect(temporary, config=_CONFIGURATION)) as connection:
                self._migrate(connection)
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self.path)
            flush_directory(self.path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        for migration in self._migrations[self._schema_version(connection) :]:
            with _transaction(connection):
                connection.execute(migration.sql)
                statements.run(
                    connection,
                    "record_migration",
                    {"version": migration.number, "name": migration.name, "now": utc_now()},
                )
        if not audits.are_current(connection):
            with _transaction(connection):
                audits.install(connection)

    def _is_current(self, connection: duckdb.DuckDBPyConnection) -> bool:
        return self._schema_version(connection) == len(self._migrations) and audits.are_current(connection)

    def _schema_version(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Number of the last migration applied, 0 for an empty database."""
        known, others = _only_row(statements.run(connection, "count_tables"))
        if not known:
            if others:
                raise LineageError(f"{self.path} is a DuckDB database, but not one of lineage: name another file")
            return 0
        (version,) = _only_row(statements.run(connection, "schema_version"))
        if version > len(self._migrations):
            raise LineageError(
                f"{self.path} has schema {version}, this version of gotd-assets knows schemas up to "
                f"{len(self._migrations)}: upgrade gotd-assets, or restore a backup made before the upgrade"
            )
        return int(version)


@contextlib.contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        # A statement that failed may have ended the transaction already.
        with contextlib.suppress(duckdb.TransactionException):
            connection.rollback()
        raise
    connection.commit()


def _tries(deadline: float) -> Iterator[None]:
    """Yield at once, then after growing, jittered pauses until the deadline; at least once."""
    pause = 0.002
    yield
    while time.monotonic() < deadline:
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 (spreads out the waiting, no secret)
        pause = min(2 * pause, _LONGEST_PAUSE)
        yield


def _only_row(connection: duckdb.DuckDBPyConnection) -> tuple[int, ...]:
    row = connection.fetchone()
    return row if row is not None else ()


def utc_now() -> dt.datetime:
    """The time, in UTC, without time zone: as the database keeps times."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def flush_directory(path: Path) -> None:
    """Make renames and new names in the folder `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
