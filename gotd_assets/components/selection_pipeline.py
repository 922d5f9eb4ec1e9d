"""`type: gotd_assets.SelectionPipeline`: the whole graph in any Dagster project."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import dagster as dg
from pydantic import BaseModel, ValidationError

from gotd_assets.components.attributes import PipelineAttributes, WrittenAttributes
from gotd_assets.components.scaffolder import SelectionPipelineScaffolder
from gotd_assets.errors import SettingsError
from gotd_assets.pipeline.asset import OWNERS
from gotd_assets.pipeline.graph import build_pipeline
from gotd_assets.pipeline.placement import Placement


@dg.scaffold_with(SelectionPipelineScaffolder)
class SelectionPipeline(dg.Component):
    """Selects from your text what best prepares a language model for a task, and trains on it (GOT-D).

    Attributes are the settings of gotd.yaml (docs/settings.md) and `key_prefix`. It yields twelve assets from candidates
    and targets to a trained model and its evaluation, with their checks, jobs, sensors and automation. Relative paths,
    `home` among them, are relative to the folder of defs.yaml.
    """

    def __init__(self, placement: Placement) -> None:
        self.placement = placement

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Who answers for it, and what it makes."""
        return dg.ComponentTypeSpec(
            owners=OWNERS, tags=["data-selection", "llm"], produces=["asset", "asset_check", "job", "sensor"]
        )

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of `attributes`."""
        return WrittenAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The instance that a defs.yaml describes, its templates rendered."""
        written: dict[str, Any] = attributes.written if isinstance(attributes, WrittenAttributes) else {}
        rendering = context.with_rendering_scope({"context": context, "project_root": context.project_root})
        resolution = rendering.resolution_context.at_path("attributes")
        try:
            given = PipelineAttributes.model_validate(resolution.resolve_value(written))
        except ValidationError as error:
            raise SettingsError(_wrong_values(error, resolution)) from None
        folder = context.path if context.path.is_dir() else context.path.parent
        placement = Placement.of(given.settings, folder.resolve(), given.prefix, given.pool, given.resources)
        return cls(dataclasses.replace(placement, ray_resource=given.ray_resource))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs, sensors and automation."""
        del context
        return build_pipeline(self.placement)


def _wrong_values(error: ValidationError, resolution: dg.ResolutionContext) -> str:
    """What is wrong once templates are rendered, line by line; without the values, which may be secret."""
    lines = []
    for detail in error.errors(include_url=False, include_input=False):
        path: list[str | int] = [*resolution.path, *detail["loc"]]
        positions = resolution.source_position_tree
        where = "" if positions is None else f"{positions.lookup_closest_and_path(path, None)[0]}: "
        lines.append(f"{where}{'.'.join(map(str, path))}: {detail['msg']}")
    return "\n".join(lines)
