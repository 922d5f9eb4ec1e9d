"""One `gotd run` at a time in a home."""

import contextlib
from collections.abc import Iterator

from gotd_assets.artifacts.lock import BusyError, held, is_held
from gotd_assets.errors import GotdError
from gotd_assets.settings.home import Home

# Who only asks whether a run works holds the lock for a moment, too.
_PATIENCE_SECONDS = 2.0


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Let one `gotd run` work in `home` at a time; the lock of a killed one is free.

    Raises:
        GotdError: another one is working there.
    """
    home.path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(home.run_lock, timeout_seconds=_PATIENCE_SECONDS))
        except BusyError as error:
            raise GotdError(f"another `gotd run` is working in {home.path}: wait for it, or stop it") from error
        yield


def is_working(home: Home) -> bool:
    """Whether a `gotd run` is alive in `home`."""
    return is_held(home.run_lock)
