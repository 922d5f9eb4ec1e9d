"""What reading a source amounted to, for the log while it runs and for metadata and lineage afterwards."""

from __future__ import annotations

import bisect
import dataclasses
import time
from collections import Counter
from typing import TYPE_CHECKING

from gotd_assets.catalogue.durations import in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from gotd_assets.corpus.files.walk import LeftOut
    from gotd_assets.corpus.reading.portion import Damage
    from gotd_assets.fingerprint import Json

LENGTH_EDGES = (0, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000)
_SECONDS_BETWEEN_REPORTS = 2.0
_NAMED = 50


@dataclasses.dataclass(frozen=True)
class ReadReport:
    """Counts of one reading; every record read is in exactly one of the first four groups.

    Attributes:
        read: records taken from the files (damaged ends of files count as one each).
        quarantined: records set aside, listed in quarantine.jsonl; `quarantined_by_reason` splits them.
        filtered: records that the filter left out.
        too_short: texts (or chunks) below min_chars.
        unread: records beyond the limit.
        chunks: pieces that came out of cutting and joining; 0 without chunking.
        duplicates: documents whose text this source already had.
        kept: documents written.
        characters: characters of the kept documents.
        bytes: bytes of the input files on disk.
        files: number of input files.
        damaged: files of which more than single records is lost.
        left_out: files found in folders and by patterns that were not read, with the reason.
        lengths: documents per length class; class i reaches from LENGTH_EDGES[i] to the next, the last is open.
    """

    read: int = 0
    quarantined_by_reason: dict[str, int] = dataclasses.field(default_factory=dict)
    filtered: int = 0
    too_short: int = 0
    unread: int = 0
    chunks: int = 0
    duplicates: int = 0
    kept: int = 0
    characters: int = 0
    bytes: int = 0
    files: int = 0
    damaged: tuple[Damage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    lengths: tuple[int, ...] = (0,) * len(LENGTH_EDGES)

    @property
    def quarantined(self) -> int:
        """Records set aside, whatever the reason."""
        return sum(self.quarantined_by_reason.values())

    def as_summary(self) -> dict[str, Json]:
        """The counts as JSON; the same for the same input, so without times. Without what there is none of."""
        names = (
            "read",
            "filtered",
            "too_short",
            "unread",
            "chunks",
            "duplicates",
            "kept",
            "characters",
            "bytes",
            "files",
        )
        return {
            **{name: getattr(self, name) for name in names},
            "quarantined": self.quarantined,
            "quarantined_by_reason": dict(sorted(self.quarantined_by_reason.items())),
            "length_histogram": {"edges": list(LENGTH_EDGES), "counts": list(self.lengths)},
            **({"damaged": self._damaged()} if self.damaged else {}),
            **({"left_out": self._left_out()} if self.left_out else {}),
        }

    def _damaged(self) -> dict[str, Json]:
        return {
            "places": len(self.damaged),
            "of_unknown_size": sum(damage.lost_bytes is None for damage in self.damaged),
            "lost_bytes": sum(damage.lost_bytes or 0 for damage in self.damaged),
            "named": [dataclasses.asdict(damage) for damage in self.damaged[:_NAMED]],
        }

    def _left_out(self) -> dict[str, Json]:
        return {
            "places": len(self.left_out),
            "by_reason": dict(sorted(Counter(place.reason for place in self.left_out).items())),
            "named": [dataclasses.asdict(place) for place in self.left_out[:_NAMED]],
        }


def length_class(characters: int) -> int:
    """Index of the length class of a document."""
    return bisect.bisect_right(LENGTH_EDGES, characters) - 1


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a station has come."""

    station: str
    documents: int
    per_second: float
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {in_words(self.seconds_left)} left"
        return f"{self.station}: {self.documents:,} documents, {self.per_second:,.0f} per second{left}"


class ProgressMeter:
    """Tells `callback` every two seconds, and at the end, how far it is; `total` is in any unit of work."""

    def __init__(self, station: str, total: float, callback: Callable[[object], None] | None) -> None:
        self._station = station
        self._total = total
        self._callback = callback
        self._start = self._last = time.monotonic()

    def update(self, documents: int, done: float, *, final: bool = False) -> None:
        """`documents` are through, `done` of `total` units of work."""
        now = time.monotonic()
        if self._callback is None or (not final and now - self._last < _SECONDS_BETWEEN_REPORTS):
            return
        self._last = now
        elapsed = max(now - self._start, 1e-9)
        left = elapsed * max(self._total - done, 0) / done if done > 0 else None
        self._callback(Progress(self._station, documents, documents / elapsed, 0.0 if final else left))
