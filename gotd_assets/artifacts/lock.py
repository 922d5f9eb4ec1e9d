"""Turns among processes: a lock file that the operating system releases when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import random
import time
from collections.abc import Iterator
from pathlib import Path

_SHORTEST_PAUSE = 0.002
_LONGEST_PAUSE = 0.1  # seconds between two tries


class BusyError(Exception):
    """Somebody else holds the lock, and did for as long as was waited."""


@contextlib.contextmanager
def held(path: Path, *, shared: bool = False, timeout_seconds: float | None = None) -> Iterator[None]:
    """Hold the lock file `path`, made if missing; its folder must exist.

    Args:
        path: a file that is for locking alone; it stays, as removing it would let two in.
        shared: hold it together with others that do, and apart from those that do not.
        timeout_seconds: how long to wait for it; None for as long as it takes, 0 to try once.

    Raises:
        BusyError: it was not free in time.
        OSError: the file cannot be opened for writing.
    """
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with path.open("a", encoding="ascii") as file:
        if timeout_seconds is None:
            fcntl.flock(file, mode)
        elif not any(_locked(file.fileno(), mode) for _ in tries(time.monotonic() + timeout_seconds)):
            raise BusyError(str(path))
        yield


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock file `path`, not shared."""
    try:
        with path.open("rb") as file:
            return not _locked(file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def tries(deadline: float) -> Iterator[None]:
    """Yield at once, then after growing, jittered pauses until `deadline` (of `time.monotonic`); at least once."""
    pause = _SHORTEST_PAUSE
    yield
    while time.monotonic() < deadline:
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads out the waiting, no secret
        pause = min(2 * pause, _LONGEST_PAUSE)
        yield


def _locked(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
