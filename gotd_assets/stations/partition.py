"""Which source, target or method: the partitions of stations."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gotd_assets.settings.project import Settings

Division: TypeAlias = Literal["source", "target", "selection"] | None
"""How an asset is divided: one partition per source, per target, per target and method, or not at all."""


@dataclasses.dataclass(frozen=True)
class Partition:
    """One part of an asset; empty for an asset that is not divided."""

    source: str | None = None
    target: str | None = None
    method: str | None = None

    @classmethod
    def named(cls, name: str | None, division: Division) -> Self:
        """The partition that artifacts call `name`: 'news', 'film', 'film/gotd', or None."""
        if name is None:
            return cls()
        if division == "source":
            return cls(source=name)
        target, _, method = name.partition("/")
        return cls(target=target, method=method or None)

    @property
    def name(self) -> str | None:
        """As artifacts name it."""
        return self.source or ("/".join(part for part in (self.target, self.method) if part) or None)

    @property
    def own_target(self) -> str:
        """The target, of a partition that has one."""
        if self.target is None:
            raise TypeError(f"{self} is of no target")
        return self.target

    @property
    def facts(self) -> Mapping[str, str]:
        """What it is of, by name: source; or target, and method."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


def partitions(division: Division, settings: Settings) -> Sequence[Partition]:
    """All partitions of an asset that is divided by `division`, in the order of the settings."""
    targets = [target.name for target in settings.targets]
    match division:
        case "source":
            return [Partition(source=source.name) for source in settings.sources]
        case "target":
            return [Partition(target=target) for target in targets]
        case "selection":
            return [
                Partition(target=target, method=method) for target in targets for method in settings.selection.methods
            ]
        case None:
            return [Partition()]
