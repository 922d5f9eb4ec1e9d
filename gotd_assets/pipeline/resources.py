"""What steps work with, as resources of Dagster: shown on its page of resources, and to be swapped there by others.

By default they say what the settings say. A component whose attribute `resources` names resources of the code location
takes those instead, with values by environment or from `dg.EnvVar`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import dagster as dg

from gotd_assets.errors import SettingsError

if TYPE_CHECKING:
    from gotd_assets.pipeline.placement import Placement, ResourceKind
    from gotd_assets.settings.project import Project, Settings


class SettingsResource(dg.ConfigurableResource[Any]):
    """Stands for a section of the settings in every step.

    Attributes:
        section: its name.
    """

    section: ClassVar[str]

    def overrides(self) -> dict[str, object]:
        """What it says, by setting ('tracking.uri')."""
        return {f"{self.section}.{name}": getattr(self, name) for name in type(self).model_fields}


class TrackingResource(SettingsResource):
    """Where training runs are recorded; as section `tracking` of the settings."""

    section: ClassVar[str] = "tracking"
    uri: str | None = None
    experiment: str = "gotd-assets"
    registered_model: str | None = None
    ui_url: str = "http://127.0.0.1:5000"


class EngineResource(SettingsResource):
    """Where heavy steps work; as section `compute` of the settings."""

    section: ClassVar[str] = "compute"
    engine: str = "local"
    address: str | None = None
    actors: int | None = None
    cpus_per_actor: float = 1
    gpus_per_actor: float = 0
    memory_gb: float | None = None


RESOURCES: Mapping[ResourceKind, type[SettingsResource]] = {"tracking": TrackingResource, "engine": EngineResource}


def own_resources(placement: Placement, *, all_of_them: bool = False) -> dict[str, Any]:
    """The pipeline's resources by key: those that the location does not bring, or `all_of_them`."""
    return {
        placement.resource(kind): _as_set(resource, placement.declared.settings)
        for kind, resource in RESOURCES.items()
        if all_of_them or kind not in placement.resources
    }


def required(placement: Placement) -> set[str]:
    """Keys of the resources that every step asks for."""
    return {placement.resource(kind) for kind in RESOURCES}


def given(context: Any, keys: Collection[str]) -> dict[str, Any]:
    """The resources of a step, by key."""
    return {key: getattr(context.resources, key) for key in keys}


def handed_on(resources: Mapping[str, Any]) -> dict[str, Any]:
    """The resources of a step, for runs that it starts in its process; what was connected is not connected again."""
    return {
        key: value if isinstance(value, SettingsResource) else dg.ResourceDefinition.hardcoded_resource(value)
        for key, value in resources.items()
    }


def applied(project: Project, resources: Mapping[str, Any]) -> Project:
    """The project as these resources would have it.

    Raises:
        SettingsError: what one of them says is no such setting.
    """
    overrides: dict[str, object] = {}
    for key, resource in resources.items():
        if not isinstance(resource, SettingsResource):
            raise SettingsError(
                f"the resource {key!r} is a {type(resource).__name__}: it must be a gotd_assets.TrackingResource or "
                "gotd_assets.EngineResource, whichever it stands for"
            )
        overrides |= resource.overrides()
    return project.overridden(overrides)


def _as_set(resource: type[SettingsResource], settings: Settings) -> SettingsResource:
    section = getattr(settings, resource.section)
    return resource(**{name: getattr(section, name) for name in resource.model_fields})
