"""A pass on all cores: each thread works on its own part of the source, with its own share of the cores."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor

# More threads than this wait for the interpreter's lock; each then uses several cores inside an operation.
_MOST_THREADS = 8

Partial: TypeAlias = tuple[Tensor, ...]


class Workers:
    """Threads for passes over a source, to be closed after the solve.

    Parallelism inside operations wakes all threads ten times per block; if the operating system is slow to wake them, that
    costs as much as the arithmetic. Whole blocks per thread need one meeting per pass.

    PyTorch keeps the number of threads per thread, but hands threads that start later what was last set anywhere: it is
    restored before the constructor returns.
    """

    def __init__(self, device: torch.device) -> None:
        threads = torch.get_num_threads()
        self.count = 1 if device.type != "cpu" else max(1, min(threads, _MOST_THREADS))
        self._pool: ThreadPoolExecutor | None = None
        if self.count == 1:
            return
        everyone = threading.Barrier(self.count)

        def begin() -> None:
            torch.set_num_threads(max(1, threads // self.count))
            everyone.wait()

        self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="transport")
        try:
            for started in [self._pool.submit(begin) for _ in range(self.count)]:
                started.result()
        finally:
            torch.set_num_threads(threads)

    def sum(self, work: Callable[[int], Partial]) -> Partial:
        """Call `work(worker)` for every worker and add what they return, always in the same order."""
        if self._pool is None:
            return work(0)
        futures = [self._pool.submit(work, worker) for worker in range(self.count)]
        partials = [future.result() for future in futures]
        return tuple(
            torch.stack(parts).sum(dim=0) if parts[0].ndim < 2 else sum(parts[1:], parts[0])
            for parts in zip(*partials, strict=True)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown()
