"""Partitions: sources, targets, and targets × methods, as gotd.yaml declares them."""

import dataclasses
from typing import Self

import dagster as dg

from gotd_assets.settings import Settings


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
    def of(cls, settings: Settings, targets_name: str) -> Self:
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


@dataclasses.dataclass(frozen=True)
class SelectionKey:
    """A partition of selections: which target, by which method."""

    target: str
    method: str

    @classmethod
    def of(cls, context: dg.AssetExecutionContext) -> Self:
        """The key of the partition that `context` materialises."""
        key = context.partition_key
        if not isinstance(key, dg.MultiPartitionKey):
            raise TypeError(f"expected a partition of targets × methods, got {key!r}")
        return cls(**key.keys_by_dimension)

    @classmethod
    def parse(cls, key: str) -> Self:
        """The key that Dagster writes as text: 'method|target', in the order of the dimensions' names."""
        method, target = key.split("|")
        return cls(target, method)

    @property
    def artifact_partition(self) -> str:
        """The partition under which artifacts of this selection are stored."""
        return f"{self.target}/{self.method}"
