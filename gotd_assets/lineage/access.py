"""One DuckDB file, many processes: who may connect when.

DuckDB lets either one process write or several read, and refuses everyone else at once. Here they wait their turn
instead. Two lock files beside the database make the turn: `<name>.lock` is held shared by readers and exclusively by a
writer, and `<name>.queue` is passed through by everyone before that, so that a waiting writer is not overtaken by ever
more readers. Programs that know nothing of these files, such as a DuckDB shell, still hold DuckDB's own lock; connecting
is tried again until they let go. Everything is bounded by one time limit. The operating system releases the locks of a
process that dies.
"""

from __future__ import annotations

import collections
import contextlib
import enum
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from gotd_assets.artifacts.lock import BusyError, held, tries
from gotd_assets.errors import LineageError


class Mode(enum.Enum):
    """What a turn is for: many may read together, one writes alone."""

    READING = enum.auto()
    WRITING = enum.auto()


_IN_USE = ("Could not set lock on file", "with a different configuration", "Unique file handle conflict")

# Two connections of one process to one file must agree on reading or writing, and closing any descriptor of the file
# drops the process's lock on it: within a process, one connection at a time.
_in_this_process: dict[Path, threading.Lock] = collections.defaultdict(threading.Lock)


class UnreadableError(LineageError):
    """The file is no DuckDB database this version of DuckDB can open."""


@contextlib.contextmanager
def turn(path: Path, mode: Mode, timeout_seconds: float) -> Iterator[float]:
    """Wait for the turn to read or write the database at the absolute `path`.

    Yields the deadline, in `time.monotonic` seconds, for what follows.

    Raises:
        LineageError: others kept it busy for longer than `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    mine = _in_this_process[path]
    if not mine.acquire(timeout=timeout_seconds):
        raise _busy(path, timeout_seconds, "another thread of this process")
    try:
        with contextlib.ExitStack() as gate, contextlib.ExitStack() as queue:
            for stack, kind in ((queue, "queue"), (gate, "lock")):
                _enter(stack, path, kind, deadline, timeout_seconds, is_shared=mode is Mode.READING)
            if mode is Mode.READING:
                queue.close()
            yield deadline
    finally:
        mine.release()


@contextlib.contextmanager
def connected(path: Path, deadline: float, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to the database at `path`, within a turn; closed when the block ends, whatever happens.

    Raises:
        UnreadableError: the file cannot be opened by anyone.
        LineageError: another program held it beyond the deadline.
    """
    started = time.monotonic()
    connection = None
    refusal = ""
    for _ in tries(deadline):
        try:
            connection = duckdb.connect(path, read_only=read_only)
            break
        except duckdb.Error as error:
            refusal = str(error)
            if not any(message in refusal for message in _IN_USE):
                raise UnreadableError(
                    f"{path} cannot be opened: {error}; if the file is damaged, `gotd restore BACKUP` replaces it"
                ) from error
    if connection is None:
        raise _busy(path, time.monotonic() - started, f"another program ({refusal})")
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Everything in the block or nothing; committed to disk when it ends."""
    connection.begin()
    try:
        yield
    except BaseException:
        # A statement that failed may have ended the transaction already.
        with contextlib.suppress(duckdb.TransactionException):
            connection.rollback()
        raise
    connection.commit()


def _enter(
    stack: contextlib.ExitStack, path: Path, kind: str, deadline: float, timeout_seconds: float, *, is_shared: bool
) -> None:
    lock = path.with_name(f"{path.name}.{kind}")
    try:
        stack.enter_context(held(lock, shared=is_shared, timeout_seconds=max(0.0, deadline - time.monotonic())))
    except BusyError as error:
        raise _busy(path, timeout_seconds, "another process of this project") from error
    except OSError as error:
        raise LineageError(
            f"{lock.name} cannot be written beside the database: {error}; to read without permission to write, "
            "ask a copy made by `gotd backup`"
        ) from error


def _busy(path: Path, seconds: float, whom: str) -> LineageError:
    return LineageError(
        f"{path} was kept busy by {whom} for more than {seconds:.0f} seconds: "
        "close what holds it (a DuckDB shell, say) and run again"
    )
