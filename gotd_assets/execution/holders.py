"""Workers that keep something between calls: a part of the pool each, of which sums are taken again and again."""

from __future__ import annotations

import concurrent.futures
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gotd_assets.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from gotd_assets.execution.engine import Engine, Worker

_Part = TypeVar("_Part")


class Holders:
    """Workers that each keep a part between calls. Made by `held_parts`."""

    def __init__(self, workers: Sequence[Worker], parts: Sequence[Any], threads: concurrent.futures.Executor) -> None:
        self._workers = workers
        self.parts = parts
        self._threads = threads
        self.ended = False

    def __len__(self) -> int:
        return len(self._workers)

    def call(self, method: str, *arguments: object) -> list[Any]:
        """What `method(*arguments)` of every part gives, in the order of the parts."""
        return self.call_each(method, [arguments] * len(self._workers))

    def call_each(self, method: str, arguments: Sequence[tuple[object, ...]]) -> list[Any]:
        """What the method of every part gives for its own of `arguments`, in the order of the parts.

        Raises:
            ClusterError: they have ended, and what they held with them.
        """
        if self.ended:
            raise ClusterError("the workers that held this have ended: take from them what is needed before they do")
        calls = [
            self._threads.submit(worker.compute, (method, own))
            for worker, own in zip(self._workers, arguments, strict=True)
        ]
        return [call.result() for call in calls]

    def sum(self, method: str, *arguments: object) -> npt.NDArray[np.float64]:
        """The sum over all parts of what `method(*arguments)` gives, added in float64 in the order of the parts."""
        parts = self.call(method, *arguments)
        total = np.array(parts[0], dtype=np.float64)
        for part in parts[1:]:
            total += part
        return total


@contextlib.contextmanager
def held_parts(
    engine: Engine, make: Callable[[_Part], object], parts: Sequence[_Part], *, name: str
) -> Iterator[Holders]:
    """A holder for each of `parts`, which keeps what `make(part)` gives for as long as the block takes.

    A holder that is lost is made again from its part, so methods must change nothing that a later call needs.
    """
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(engine.worker(Held(make, part), f"{name} {number}"))
            for number, part in enumerate(parts)
        ]
        threads = concurrent.futures.ThreadPoolExecutor(max(len(parts), 1))
        stack.callback(threads.shutdown, wait=True, cancel_futures=True)
        holders = Holders(workers, parts, threads)
        try:
            yield holders
        finally:
            holders.ended = True


class Held:
    """Calls methods of what `make(part)` gives, which is made at the first call, where the worker is."""

    def __init__(self, make: Callable[[Any], object], part: object) -> None:
        self._make = make
        self._part = part
        self._object: object | None = None

    def __call__(self, call: tuple[str, tuple[Any, ...]]) -> Any:
        """What the method of that name gives for those arguments."""
        if self._object is None:
            self._object = self._make(self._part)
        method, arguments = call
        return getattr(self._object, method)(*arguments)
