"""A function applied to many items by processes of our own, results in order.

The processes are started anew rather than forked (the libraries in use have threads) and do not import the caller's
main module; they end when their pipe closes, so a killed caller leaves none behind.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
import queue
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeVar

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD = 2
_PROGRAM = """
import sys
from multiprocessing.connection import Connection
from gotd_assets.execution.processes import serve
serve(Connection(int(sys.argv[1])))
"""


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def map_in_processes(
    function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Iterator[tuple[_Item, _Result]]:
    """Yield every item with `function(item)`, in order, computed by `workers` processes; with one, by this one.

    At most a few more items than there are workers are under way. `function`, items and results travel between
    processes, so must be picklable; an exception is raised here, when its item's turn comes.

    Raises:
        InputError: a process was killed, as when memory runs out.
    """
    if workers <= 1:
        for item in items:
            yield item, function(item)
        return
    with contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(workers):
            idle.put(stack.enter_context(_Worker(function)))
        threads = concurrent.futures.ThreadPoolExecutor(workers)
        # Entered last, so left first: what is under way ends before the processes do.
        stack.callback(threads.shutdown, wait=True, cancel_futures=True)

        def compute(item: _Item) -> Any:
            worker = idle.get()
            try:
                return worker.compute(item)
            finally:
                idle.put(worker)

        pending: collections.deque[tuple[_Item, concurrent.futures.Future[Any]]] = collections.deque()
        for item in items:
            pending.append((item, threads.submit(compute, item)))
            if len(pending) >= workers + _AHEAD:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()


class _Worker:
    """A process at the other end of a pipe."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._pipe, other = Pipe()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "POLARS_MAX_THREADS": "1",
        }
        command = [sys.executable, "-c", _PROGRAM, str(other.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[other.fileno()], env=environment)
        other.close()
        self._pipe.send(function)

    def __enter__(self) -> _Worker:
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
                f"a process that was reading documents ended unasked (exit code {code}); if memory ran out, lower "
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
