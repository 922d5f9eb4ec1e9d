"""Where heavy work runs: an engine starts workers, and a function is mapped over items by them.

What comes back is in the order of the items, whoever finished first, so that nothing made of it depends on how many
workers there are or where they are.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import queue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD = 2


class Worker(Protocol):
    """A process, here or elsewhere, that was handed a function and applies it to one item after another."""

    def compute(self, item: Any) -> Any:
        """`function(item)`; an exception of the function is raised here."""
        ...


class Engine(Protocol):
    """Starts workers.

    Attributes:
        name: how people call it.
        workers: how many work at a time if there is enough to do.
        is_local: whether the workers share this machine's memory and processors with the caller.
    """

    name: str
    workers: int
    is_local: bool

    def worker(self, function: Callable[[Any], Any], name: str) -> contextlib.AbstractContextManager[Worker]:
        """A worker for `function`, which is pickled; it ends with the block. `name` says what it does, for people."""
        ...


def mapped(
    engine: Engine,
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    name: str,
    workers: int | None = None,
) -> Iterator[tuple[_Item, _Result]]:
    """Yield every item with `function(item)`, in order, computed by the engine's workers, at most `workers` of them.

    With one worker on this machine it is done by the calling process. At most a few more items than there are workers
    are under way. `function`, items and results travel between processes, so must be picklable; an exception is raised
    here, when its item's turn comes.

    Raises:
        InputError: a worker was killed, as when memory runs out, and could not be replaced.
    """
    count = engine.workers if workers is None else min(workers, engine.workers)
    if engine.is_local and count <= 1:
        for item in items:
            yield item, function(item)
        return
    with contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for number in range(max(count, 1)):
            idle.put(stack.enter_context(engine.worker(function, f"{name} {number}")))
        threads = concurrent.futures.ThreadPoolExecutor(max(count, 1))
        # Entered last, so left first: what is under way ends before the workers do.
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
            if len(pending) >= count + _AHEAD:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
