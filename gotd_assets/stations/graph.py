"""Stations in the order of the data, and what a run of everything does in which order: derived from what each reads."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from gotd_assets.stations.partition import Partition, partitions

if TYPE_CHECKING:
    from gotd_assets.settings.project import Settings
    from gotd_assets.stations.reads import Each, One
    from gotd_assets.stations.station import Station

Node: TypeAlias = "tuple[Station, Partition]"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One run: some assets in one partition.

    Attributes:
        title: for people.
        assets: names, in the order in which they are made.
        partition: of all of them.
        target: whose failure it is; None if others need it, too.
        overrides: settings given for this run alone, by asset: {'ot_potentials': {'transport.epsilon': 0.1}}.
    """

    title: str
    assets: tuple[str, ...]
    partition: Partition
    target: str | None = None
    overrides: Mapping[str, Mapping[str, object]] = dataclasses.field(default_factory=dict)


class Graph:
    """Stations that read each other.

    Args:
        stations: in the order of the data: a station comes after those that it reads, unless settings make it read a
            later one.

    Raises:
        ValueError: two stations have one name, or one reads an asset that none makes.
    """

    def __init__(self, stations: Sequence[Station]) -> None:
        self.stations = tuple(stations)
        self._by_name = {station.name: station for station in stations}
        if len(self._by_name) != len(stations):
            raise ValueError(f"two stations have one name: {', '.join(station.name for station in stations)}")
        for station in stations:
            for read in station.reads:
                if read.asset not in self._by_name:
                    raise ValueError(f"{station.name} reads {read.asset!r}, which no station makes")

    def named(self, asset: str) -> Station:
        """The station that makes `asset`."""
        return self._by_name[asset]

    def existing(self, settings: Settings) -> list[Station]:
        """The stations that a project with `settings` has."""
        return [station for station in self.stations if station.exists(settings)]

    def opened(self, read: One | Each, partition: Partition, settings: Settings) -> list[Partition]:
        """The partitions in which a station opens `read` for its own `partition`."""
        if read.targets is not None:
            return [Partition(target=target) for target in read.targets(settings, partition)]
        match self.named(read.asset).division:
            case None:
                return [Partition()]
            case "source":
                return [partition] if partition.source is not None else list(partitions("source", settings))
            case "target":
                return [Partition(target=partition.target)]
            case "selection":
                methods = settings.selection.methods if partition.method is None else [partition.method]
                return [Partition(target=partition.target, method=method) for method in methods]

    def made_of(self, asset: str, settings: Settings) -> set[str]:
        """Names of all assets that `asset` is made of, directly or not."""
        found: set[str] = set()
        waiting = [asset]
        while waiting:
            for read in self.named(waiting.pop()).reads:
                if read.when(settings) and read.asset not in found and not read.optional:
                    found.add(read.asset)
                    waiting.append(read.asset)
        return found - {asset}

    def reads(self, station: Station, partition: Partition, settings: Settings) -> dict[One | Each, list[Partition]]:
        """What `station` opens for `partition`, and in which partitions."""
        return {read: self.opened(read, partition, settings) for read in station.reads if read.when(settings)}

    def comes_early(self, station: Station, settings: Settings) -> bool:
        """Whether it is made before the first model: all that is not late, and what of the rest such a station reads.

        The encoder may be tuned on labelled texts, which otherwise only measure models.
        """
        readers = (read for other in self.stations if not other.is_late for read in other.reads)
        return not station.is_late or any(read.asset == station.name and read.when(settings) for read in readers)

    def stages(
        self, settings: Settings, targets: Sequence[str], include: Callable[[Station], bool] = lambda _: True
    ) -> list[Stage]:
        """Everything for `targets` in the order of the data, one stage per partition; what is needed comes first.

        Args:
            settings: of the project.
            targets: names of declared targets.
            include: stations of which artifacts are made; those of others are taken as they stand.
        """
        planned: dict[Node, list[Node]] = {}

        def plan(node: Node) -> None:
            if node in planned:
                return
            station, partition = node
            needed = [
                (self.named(read.asset), opened)
                for read, partitions_of_read in self.reads(station, partition, settings).items()
                if include(self.named(read.asset))
                for opened in partitions_of_read
                if not read.optional or self.named(read.asset).wanted(settings, opened)
            ]
            for before in needed:
                plan(before)
            planned[node] = needed

        for node in self._roots(settings, targets):
            if include(node[0]):
                plan(node)
        shared = {
            before[1]
            for (_, partition), needed in planned.items()
            for before in needed
            if before[1].target != partition.target
        }
        return [
            _stage([station for station, _ in nodes], partition, is_shared=partition in shared)
            for partition, nodes in itertools.groupby(planned, key=lambda node: node[1])
        ]

    def _roots(self, settings: Settings, targets: Sequence[str]) -> Iterator[Node]:
        """Every node that a run of everything is for: candidates, then each target's selections, then what trains.

        Selections of all targets come before the first training, as people wait for them.
        """
        existing = self.existing(settings)
        of_target = [station for station in existing if station.division in ("target", "selection")]
        yield from self._by_partition([station for station in existing if station not in of_target], settings)
        for is_late in (False, True):
            some = [station for station in of_target if station.is_late == is_late]
            for target in targets:
                for station, partition in self._by_partition(some, settings):
                    if partition.target == target and station.wanted(settings, partition):
                        yield station, partition

    def _by_partition(self, stations: Sequence[Station], settings: Settings) -> Iterator[Node]:
        for division, group in itertools.groupby(stations, key=lambda station: station.division):
            together = list(group)
            for partition in partitions(division, settings):
                for station in together:
                    yield station, partition


def _stage(stations: Sequence[Station], partition: Partition, *, is_shared: bool) -> Stage:
    verbs = ", ".join(station.verb for station in stations)
    where = ", ".join(f"{name} {value}" if name != "method" else value for name, value in partition.facts.items())
    return Stage(
        title=f"{where}: {verbs}" if where else verbs,
        assets=tuple(station.name for station in stations),
        partition=partition,
        target=None if is_shared else partition.target,
    )
