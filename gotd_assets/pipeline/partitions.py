"""Partitions: sources, targets, and targets × methods, as gotd.yaml declares them."""

import dataclasses
from typing import Self

import dagster as dg

from gotd_assets.settings.project import Settings
from gotd_assets.stations.partition import Division, Partition


@dataclasses.dataclass(frozen=True)
class Partitions:
    """The project's three ways to divide an asset.

    Attributes:
        sources: one partition per source of candidates.
        targets: one partition per target; dynamic if there is a targets folder, in which they come and go.
        selections: one partition per target and selection method.
    """

    sources: dg.StaticPartitionsDefinition
    targets: dg.StaticPartitionsDefinition | dg.DynamicPartitionsDefinition
    selections: dg.MultiPartitionsDefinition

    @classmethod
    def declared_by(cls, settings: Settings, targets_name: str) -> Self:
        """The partitions that `settings` declares; dynamic targets are called `targets_name`."""
        targets: dg.StaticPartitionsDefinition | dg.DynamicPartitionsDefinition
        if settings.targets_folder.path is None:
            targets = dg.StaticPartitionsDefinition([target.name for target in settings.targets])
        else:
            targets = dg.DynamicPartitionsDefinition(name=targets_name)
        return cls(
            sources=dg.StaticPartitionsDefinition([source.name for source in settings.sources]),
            targets=targets,
            selections=dg.MultiPartitionsDefinition(
                {"target": targets, "method": dg.StaticPartitionsDefinition(settings.selection.methods)}
            ),
        )

    def of(self, division: Division) -> dg.PartitionsDefinition[str] | None:
        """How Dagster divides an asset that is divided by `division`."""
        definitions: dict[Division, dg.PartitionsDefinition[str]] = {
            "source": self.sources,
            "target": self.targets,
            "selection": self.selections,
        }
        return definitions.get(division)

    @property
    def dynamic_targets(self) -> str | None:
        """What the targets are called as dynamic partitions; None if they cannot change while it runs."""
        return self.targets.name if isinstance(self.targets, dg.DynamicPartitionsDefinition) else None

    def registered(self, instance: dg.DagsterInstance) -> list[str] | None:
        """Targets that `instance` knows, None if they cannot change while it runs."""
        name = self.dynamic_targets
        return None if name is None else list(instance.get_dynamic_partitions(name))

    def register(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        """Make `instance` know every target there is now, for runs without a daemon."""
        name = self.dynamic_targets
        if name is not None:
            instance.add_dynamic_partitions(name, [target.name for target in settings.targets])


def partition_of(context: dg.AssetExecutionContext, division: Division) -> Partition:
    """The partition that `context` materialises of an asset divided by `division`."""
    return parse(context.partition_key, division) if division is not None else Partition()


def parse(key: str, division: Division) -> Partition:
    """The partition that Dagster calls `key`; of selections 'method|target', in the order of the dimensions' names."""
    if division == "selection":
        method, target = key.split("|")
        return Partition(target=target, method=method)
    return Partition.named(key, division)


def key_of(partition: Partition) -> str | None:
    """What Dagster calls `partition`; None for an asset that is not divided."""
    if partition.method is not None:
        return dg.MultiPartitionKey({"target": partition.own_target, "method": partition.method})
    return partition.name
