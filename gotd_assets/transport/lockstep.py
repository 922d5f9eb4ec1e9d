"""Several solves of one source, each in a thread of its own, that make their passes over it together.

A pass waits until every solve that has not ended wants one. Then each part of the source is read once, and all of them work
on it before the next.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from torch import Tensor

from gotd_assets.transport.source import Block, Part, PreparedSource, centred
from gotd_assets.transport.workers import Workers

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True, eq=False)
class SharedSource(PreparedSource):
    """A source of which each thread keeps the part that it read last in a pass, and whose draws are made once.

    Attributes:
        part_rows: of the blocks that parts are made of, whoever asks for them.
    """

    part_rows: int = 0
    _held: dict[int, tuple[Part, Tensor]] = dataclasses.field(default_factory=dict, init=False, repr=False)
    _drawn: dict[tuple[int, int], tuple[Tensor, PreparedSource]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )
    _drawing: threading.Lock = dataclasses.field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def sharing(cls, source: PreparedSource, part_rows: int) -> SharedSource:
        """The rows of `source`."""
        given = {field.name: getattr(source, field.name) for field in dataclasses.fields(source) if field.init}
        return cls(**given, part_rows=part_rows)

    def parts(self, rows: int) -> list[Part]:
        """The same for all, whatever their `rows`."""
        del rows
        return super().parts(self.part_rows)

    def blocks(self, rows: int, part: Part | None = None) -> Iterator[Block]:
        """As of any source; what was read for a part is kept until this thread reads another."""
        if part is None:
            yield from super().blocks(rows)
            return
        thread = threading.get_ident()
        held = self._held.get(thread)
        if held is None or held[0] != part:
            self._held.pop(thread, None)
            shard = self._shard(part.shard)
            held = part, centred(shard[part.begin : part.end], self.centre, self.device, self.dtype)
            self._held[thread] = held
        points = held[1]
        for begin in range(0, len(points), rows):
            start = part.start + begin
            block = points[begin : begin + rows]
            yield Block(start, block, self.weights[start : start + len(block)])

    def release(self) -> None:
        """Keep nothing that was read."""
        self._held.clear()

    def sampled(self, size: int, seed: int) -> tuple[Tensor, PreparedSource]:
        """Drawn rows, once for all that ask for as many."""
        with self._drawing:
            if (size, seed) not in self._drawn:
                self._drawn[size, seed] = super().sampled(size, seed)
            return self._drawn[size, seed]


class LockStep:
    """The passes of `count` solves over `source`, made together by `workers`."""

    def __init__(self, source: SharedSource, workers: Workers, count: int) -> None:
        self.workers = workers
        self._source = source
        self._running = count
        self._changed = threading.Condition()
        self._asked: dict[int, tuple[Callable[[int], Any], int, Callable[[Any], object]]] = {}
        self._error: BaseException | None = None

    def turn(self, number: int) -> Workers:
        """What solve number `number` makes its passes by."""
        return _Turn(self, number)

    def ended(self, error: BaseException | None = None) -> None:
        """One solve makes no more passes; with an `error` the others are not to go on either."""
        with self._changed:
            self._running -= 1
            self._error = self._error or error
            if self._asked and len(self._asked) == self._running and self._error is None:
                self._make()
            self._changed.notify_all()

    def ask(self, number: int, work: Callable[[int], _Result], parts: int, take: Callable[[_Result], object]) -> None:
        """Wait for the next pass, which does `work(part)` for every part and lets `take` have what it gives, in order."""
        with self._changed:
            self._asked[number] = work, parts, take
            if len(self._asked) == self._running and self._error is None:
                self._make()
                self._changed.notify_all()
            self._changed.wait_for(lambda: number not in self._asked or self._error is not None)
            if self._error is not None:
                raise self._error

    def _make(self) -> None:
        """The pass that all ask for; the lock is held, as all others wait."""
        asked, self._asked = list(self._asked.values()), {}
        most = max(parts for _, parts, _ in asked)

        def joint(part: int) -> list[Any]:
            return [work(part) if part < parts else None for work, parts, _ in asked]

        try:
            for part, found in enumerate(self.workers.map(joint, range(most))):
                for (_, parts, take), result in zip(asked, found, strict=True):
                    if part < parts:
                        take(result)
        except BaseException as error:  # noqa: BLE001 - every solve waits for this pass, and each is to hear of it
            self._error = error
        finally:
            self._source.release()


class _Turn(Workers):
    """One solve's view of what they make together: passes, which go by number of part; anything else it does alone."""

    def __init__(self, together: LockStep, number: int) -> None:
        self._together, self._number = together, number
        self.count = together.workers.count

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """`work(item)` of every item, in the order of `items`."""
        if not isinstance(items, range):
            yield from self._together.workers.map(work, items)
            return
        found: list[_Result] = []
        self._together.ask(self._number, work, len(items), found.append)  # type: ignore[arg-type]
        yield from found
