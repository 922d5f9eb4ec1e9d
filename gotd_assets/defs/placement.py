"""Where a pipeline stands in a code location: its project, and what its parts are called there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Self

import dagster as dg

from gotd_assets.defs.partitions import Partitions
from gotd_assets.lineage import LineageStore
from gotd_assets.planning import Plan
from gotd_assets.settings import Project, load_project
from gotd_assets.storage import ArtifactStore

# In the order of the data, which is the order of the UI, as it sorts groups by name.
GROUPS = ("candidates", "target", "transport", "selection", "training", "evaluation")


@dataclasses.dataclass(frozen=True)
class Placement:
    """One pipeline among possibly several in a code location.

    Attributes:
        declared: the project when the code location was loaded; it decides what assets and partitions there are.
        load: the project as it is now, with settings and targets that came since.
        key_prefix: of asset keys; with underscores between its parts also of jobs, sensors, groups and the pool.
        shared_pool: concurrency pool of the steps that use all cores or a GPU; one of its own if None.
        plan: what a dry run writes to; None: make things.
    """

    declared: Project
    load: Callable[[], Project]
    key_prefix: tuple[str, ...] = ()
    shared_pool: str | None = None
    plan: Plan | None = None

    @classmethod
    def of_file(cls, path: Path, plan: Plan | None = None) -> Self:
        """The only pipeline of a code location, as the settings file `path` describes it."""
        return cls(load_project(path), functools.partial(load_project, path), plan=plan)

    @functools.cached_property
    def partitions(self) -> Partitions:
        """How its assets are divided."""
        return Partitions.of(self.declared.settings, self.name("gotd_targets"))

    @property
    def pool(self) -> str:
        """The concurrency pool of heavy steps."""
        return self.shared_pool or self.name("compute")

    def key(self, asset: str) -> dg.AssetKey:
        """The key of one of the pipeline's assets."""
        return dg.AssetKey([*self.key_prefix, asset])

    def keys(self, *assets: str) -> list[dg.AssetKey]:
        """The keys of several of them."""
        return [self.key(asset) for asset in assets]

    def every_source(self, asset: str) -> dg.AssetDep:
        """A dependency on all partitions of an asset that is partitioned by source."""
        return dg.AssetDep(self.key(asset), partition_mapping=dg.AllPartitionMapping())

    def name(self, name: str) -> str:
        """What a job, sensor, pool or set of partitions is called, unlike those of other pipelines."""
        return "_".join([*self.key_prefix, name])

    def group(self, group: str) -> str:
        """The group of assets, numbered."""
        return self.name(f"{GROUPS.index(group) + 1}_{group}")

    def artifacts(self) -> ArtifactStore:
        """The artifact store in the project's home."""
        return ArtifactStore(self.declared.home / "artifacts")

    def lineage(self) -> LineageStore:
        """The lineage store in the project's home."""
        return LineageStore(self.declared.home / "lineage.duckdb")
