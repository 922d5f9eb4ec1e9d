"""What a station reads: declared once, opened by it, and drawn as an edge of the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from gotd_assets.stations.partition import Partition

if TYPE_CHECKING:
    from gotd_assets.settings.project import Settings


def _always(_: Settings) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class One:
    """An asset that is read in one partition: the reader's own, its target's, or the only one.

    Attributes:
        asset: its name.
        when: whether a project with these settings reads it.
        targets: the one target whose partition is read, if not the reader's own.
    """

    asset: str
    when: Callable[[Settings], bool] = _always
    targets: Callable[[Settings, Partition], Sequence[str]] | None = None
    optional: Literal[False] = False


@dataclasses.dataclass(frozen=True)
class Each:
    """An asset that is read in several partitions: every source's, or every method's of the reader's target.

    Attributes:
        asset: its name.
        when: whether a project with these settings reads it.
        targets: the targets whose partitions are read instead; may be none.
        optional: what was not made is gone without: a run of everything makes it first, but nothing waits for it.
    """

    asset: str
    when: Callable[[Settings], bool] = _always
    targets: Callable[[Settings, Partition], Sequence[str]] | None = None
    optional: bool = False
