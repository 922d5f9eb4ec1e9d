"""One `gotd run` at a time in a home."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from gotd_assets.errors import GotdError

_LOCK = "run.lock"


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Let one `gotd run` work in `home` at a time; the lock of a killed one is free.

    Raises:
        GotdError: another one is working there.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / _LOCK).open("a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GotdError(f"another `gotd run` is working in {home}: wait for it, or stop it") from error
        yield


def is_working(home: Path) -> bool:
    """Whether a `gotd run` is alive in `home`."""
    try:
        with (home / _LOCK).open("rb") as lock:
            # Shared: two that ask do not take each other for a run.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
