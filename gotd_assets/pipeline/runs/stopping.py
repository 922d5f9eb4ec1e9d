"""Being stopped: by Ctrl-C, by systemd or docker, or by the cancellation of the run in whose step stages run.

Dagster takes signals itself while it executes a run, ends the step that works, and then forgets them: whoever runs several
runs one after the other would go on with the next.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """A signal to stop arrived; what works has ended and nothing more is begun. `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@contextlib.contextmanager
def stops_noted() -> Iterator[Callable[[], int | None]]:
    """Yields a function that returns the number of the first signal to stop that arrived, whoever handled it, or None.

    Outside the main thread, in which alone Python handles signals, it always returns None.
    """
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    noted: list[int] = []

    def received() -> int | None:
        with contextlib.suppress(BlockingIOError):
            noted.extend(number for number in os.read(reading, 64) if number in _STOPPING)
        return noted[0] if noted else None

    try:
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    except ValueError:
        before = None
    try:
        yield received
    finally:
        if before is not None:
            signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
