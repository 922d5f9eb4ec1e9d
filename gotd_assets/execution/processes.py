"""Workers on this machine: processes of our own."""

from __future__ import annotations

import contextlib
import os
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import InputError
from gotd_assets.execution.child import started

if TYPE_CHECKING:
    from collections.abc import Callable

    from gotd_assets.execution.engine import Worker


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


class LocalEngine:
    """Processes of this machine, as many as it has processors.

    With one, whatever is mapped is done by the calling process itself.
    """

    name = "local"
    is_local = True

    def __init__(self, workers: int | None = None) -> None:
        self.workers = processors() if workers is None else workers

    def worker(self, function: Callable[[Any], Any], name: str) -> contextlib.AbstractContextManager[Worker]:
        """A process for `function`."""
        return _Process(function, name)


class _Process:
    """A process at the other end of a pipe."""

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        self._name = name
        self._process, self._pipe = started(__name__, environment={"POLARS_MAX_THREADS": "1"})
        self._pipe.send(function)

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.wait()

    def compute(self, item: object) -> Any:
        try:
            self._pipe.send(item)
            result, error = self._pipe.recv()
        except (EOFError, OSError) as cause:
            code = self._process.wait()
            raise InputError(
                f"a process that was at work ({self._name}) ended unasked (exit code {code}); if memory ran out, lower "
                "max_record_bytes or give the machine to one source at a time"
            ) from cause
        if error is not None:
            raise error
        return result


def serve(pipe: Connection) -> None:
    """Answer what comes through `pipe` until it closes: first a function, then items to apply it to."""
    with contextlib.suppress(EOFError, BrokenPipeError):
        function = pipe.recv()
        while True:
            item = pipe.recv()
            result, failure = None, None
            try:
                result = function(item)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
                failure = error
            pipe.send((result, failure))
