"""Where a pipeline stands in a code location: its project, and what its parts are called there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Self, TypeAlias

import dagster as dg

from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.fingerprint import fingerprint
from gotd_assets.lineage import LineageStore
from gotd_assets.pipeline.frozen import frozen
from gotd_assets.pipeline.partitions import Partitions
from gotd_assets.settings.file import read_settings
from gotd_assets.settings.project import Project, Settings
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.graph import Graph
from gotd_assets.stations.station import GROUPS, Group

ResourceKind: TypeAlias = Literal["tracking", "engine"]


@dataclasses.dataclass(frozen=True)
class Placement:
    """One pipeline among possibly several in a code location.

    Attributes:
        declared: the project when the code location was loaded; it decides what assets and partitions there are.
        load: the project with these settings and the targets that stand in its targets folder now.
        key_prefix: of asset keys; with underscores between its parts also of jobs, sensors, groups and the pool.
        shared_pool: concurrency pool of the steps that use all cores or a GPU; one of its own if None.
        graph: its stations.
        resources: keys of the code location's own resources that stand for some of the pipeline's ('tracking', 'engine').
        ray_resource: key of the resource that connects heavy steps to a Ray cluster, or None.
    """

    declared: Project
    load: Callable[[], Project]
    key_prefix: tuple[str, ...] = ()
    shared_pool: str | None = None
    graph: Graph = GRAPH
    resources: Mapping[ResourceKind, str] = dataclasses.field(default_factory=dict)
    ray_resource: str | None = None

    @classmethod
    def of(
        cls,
        read: Callable[[], Settings],
        root: Path,
        key_prefix: tuple[str, ...] = (),
        shared_pool: str | None = None,
        resources: Mapping[ResourceKind, str] | None = None,
    ) -> Self:
        """The pipeline whose settings `read` gives, relative to `root`; a run keeps those it was launched with.

        Raises:
            SettingsError: they are wrong.
        """
        settings = frozen(f"{root}/{'_'.join(key_prefix)}", read)
        load = functools.partial(Project.of, settings, root)
        return cls(load(), load, key_prefix, shared_pool, resources=resources or {})

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The only pipeline of a code location, as the settings file `path` describes it.

        Raises:
            SettingsError: it is missing or wrong.
        """
        return cls.of(functools.partial(read_settings, path), path.parent.resolve())

    @functools.cached_property
    def settings_fingerprint(self) -> str:
        """Tells these settings from others; the same in every process of a run."""
        return fingerprint(self.declared.settings.without_secrets())[:12]

    @functools.cached_property
    def partitions(self) -> Partitions:
        """How its assets are divided."""
        return Partitions.declared_by(self.declared.settings, self.name("gotd_targets"))

    @property
    def pool(self) -> str:
        """The concurrency pool of heavy steps."""
        return self.shared_pool or self.name("compute")

    @property
    def cluster(self) -> set[str]:
        """Keys of the resources that heavy steps require beside: what connects them to a Ray cluster."""
        if self.ray_resource is None or self.declared.settings.compute.engine != "ray":
            return set()
        return {self.ray_resource}

    def key(self, asset: str) -> dg.AssetKey:
        """The key of one of the pipeline's assets."""
        return dg.AssetKey([*self.key_prefix, asset])

    def keys(self, *assets: str) -> list[dg.AssetKey]:
        """The keys of several of them."""
        return [self.key(asset) for asset in assets]

    def name(self, name: str) -> str:
        """What a job, sensor, pool or set of partitions is called, unlike those of other pipelines."""
        return "_".join([*self.key_prefix, name])

    def resource(self, kind: ResourceKind) -> str:
        """The key of a resource: 'tracking' or 'engine'."""
        return self.resources.get(kind) or self.name(kind)

    def group(self, group: Group) -> str:
        """The group of assets, numbered, as the UI sorts groups by name."""
        return self.name(f"{GROUPS.index(group) + 1}_{group}")

    def artifacts(self) -> ArtifactStore:
        """The artifact store in the project's home."""
        return ArtifactStore.of(self.declared)

    def lineage(self) -> LineageStore:
        """The lineage store in the project's home."""
        return self._lineage

    @functools.cached_property
    def _lineage(self) -> LineageStore:
        # It looks at the database's schema when it is made, which takes as long as a question.
        return LineageStore(self.declared.home.lineage)
