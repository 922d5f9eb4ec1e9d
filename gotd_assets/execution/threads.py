"""Threads that each do whole pieces of work in PyTorch, instead of sharing every operation among all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import torch

# More threads than this wait for the interpreter's lock; each then uses several cores inside an operation.
_MOST_THREADS = 8
_MOST_SINGLE_THREADS = 32

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class TorchThreads:
    """As many threads as PyTorch would use inside an operation, each with its share of them; on a GPU the caller's alone.

    Parallelism inside operations wakes all threads many times per piece of work; if the operating system is slow to wake
    them, that costs as much as the arithmetic. Whole pieces per thread need one meeting.

    PyTorch keeps the number of threads per thread, but hands threads that start later what was last set anywhere: it is
    restored before the constructor returns.
    """

    def __init__(self, device: torch.device, name: str, *, single: bool = False) -> None:
        """`single` gives every thread one core, so that what an operation rounds does not depend on how many there are."""
        threads = torch.get_num_threads()
        most = _MOST_SINGLE_THREADS if single else _MOST_THREADS
        self.count = 1 if device.type != "cpu" else max(1, min(threads, most))
        self._pool: ThreadPoolExecutor | None = None
        if self.count == 1:
            return
        everyone = threading.Barrier(self.count)

        def begin() -> None:
            torch.set_num_threads(1 if single else max(1, threads // self.count))
            everyone.wait()

        self._pool = ThreadPoolExecutor(self.count, thread_name_prefix=name)
        try:
            for started in [self._pool.submit(begin) for _ in range(self.count)]:
                started.result()
        finally:
            torch.set_num_threads(threads)

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """`work(item)` of every item, in the order of `items`; an exception is raised at its turn."""
        return map(work, items) if self._pool is None else self._pool.map(work, items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let PyTorch work on `count` threads (None: as many as it has); sums come out in another order on another number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
