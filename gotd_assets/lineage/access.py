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
import fcntl
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import duckdb

from gotd_assets.errors import LineageError

READING = fcntl.LOCK_SH
WRITING = fcntl.LOCK_EX

_IN_USE = ("Could not set lock on file", "with a different configuration", "Unique file handle conflict")
_LONGEST_PAUSE = 0.1  # seconds between two tries

# Two connections of one process to one file must agree on reading or writing, and closing any descriptor of the file
# drops the process's lock on it: within a process, one connection at a time.
_in_this_process: dict[Path, threading.Lock] = collections.defaultdict(threading.Lock)


class UnreadableError(LineageError):
    """The file is no DuckDB database this version of DuckDB can open."""


@contextlib.contextmanager
def turn(path: Path, mode: int, timeout_seconds: float) -> Iterator[float]:
    """Wait for the turn to read (`READING`) or write (`WRITING`) the database at the absolute `path`.

    Yields the deadline, in `time.monotonic` seconds, for what follows.

    Raises:
        LineageError: others kept it busy for longer than `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    mine = _in_this_process[path]
    if not mine.acquire(timeout=timeout_seconds):
        raise _busy(path, timeout_seconds, "another thread of this process")
    try:
        with _lock_file(path, "queue") as queue, _lock_file(path, "lock") as gate:
            for file in (queue, gate):
                if not _locked(file.fileno(), mode, deadline):
                    raise _busy(path, timeout_seconds, "another process of this project")
            if mode == READING:
                fcntl.flock(queue, fcntl.LOCK_UN)
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
    for _ in _tries(deadline):
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


def flush_directory(path: Path) -> None:
    """Make renames and new names in the folder `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(path: Path, kind: str) -> IO[str]:
    try:
        return path.with_name(f"{path.name}.{kind}").open("a")
    except OSError as error:
        raise LineageError(
            f"{path.name}.{kind} cannot be written beside the database: {error}; to read without permission to write, "
            "ask a copy made by `gotd backup`"
        ) from error


def _locked(descriptor: int, mode: int, deadline: float) -> bool:
    for _ in _tries(deadline):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return True
    return False


def _tries(deadline: float) -> Iterator[None]:
    """Yield at once, then after growing, jittered pauses until the deadline; at least once."""
    pause = 0.002
    yield
    while time.monotonic() < deadline:
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads out the waiting, no secret
        pause = min(2 * pause, _LONGEST_PAUSE)
        yield


def _busy(path: Path, seconds: float, whom: str) -> LineageError:
    return LineageError(
        f"{path} was kept busy by {whom} for more than {seconds:.0f} seconds: "
        "close what holds it (a DuckDB shell, say) and run again"
    )
