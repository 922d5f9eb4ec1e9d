"""What stands under `attributes` of a defs.yaml: the settings of gotd.yaml, where text may be a template."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails

from gotd_assets.pipeline.placement import ResourceKind
from gotd_assets.settings.project import Settings

_TEMPLATE = re.compile(r"\{\{.*\}\}", re.DOTALL)
_TEMPLATE_SCHEMA = {"type": "string", "pattern": r"\{\{.*\}\}"}
_NOTES = ("title", "description", "default")
_KeyPart = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class PipelineAttributes(Settings):
    """The settings of a pipeline in another project, and how its parts are told from those of others."""

    key_prefix: _KeyPart | list[_KeyPart] = Field(
        description="Put before the key of every asset; jobs, sensors and groups of assets are named after it too.",
    )
    pool: str | None = Field(
        None,
        min_length=1,
        description="Concurrency pool of the steps that use all cores or a GPU; one of its own unless several pipelines are "
        "to take turns.",
    )

    resources: dict[ResourceKind, str] = Field(
        default_factory=dict,
        description="Keys of resources of your own location, a gotd_assets.TrackingResource and EngineResource, that are to "
        "stand for the sections `tracking` and `compute`: {tracking: mlflow}.",
    )
    ray_resource: str | None = Field(
        None,
        min_length=1,
        description="Key of a Dagster resource that connects a step to a Ray cluster, such as dagster-ray's LocalRay; with "
        "compute.engine 'ray' heavy steps require it and use its connection.",
    )

    @property
    def prefix(self) -> tuple[str, ...]:
        """`key_prefix` in its parts."""
        return (self.key_prefix,) if isinstance(self.key_prefix, str) else tuple(self.key_prefix)

    def settings(self) -> Settings:
        """What gotd.yaml would say."""
        return Settings.model_construct(**{name: getattr(self, name) for name in Settings.model_fields})


class WrittenAttributes(BaseModel):
    """Attributes as written: valid but for templates, whose values come later."""

    written: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _valid_but_for_templates(cls, value: Any) -> dict[str, Any]:
        try:
            PipelineAttributes.model_validate(value)
        except ValidationError as error:
            # Where nothing but templates is wrong, rules over several settings are left to `PipelineAttributes` too.
            found = [
                InitErrorDetails(
                    type=detail["type"], loc=detail["loc"], input=detail["input"], ctx=detail.get("ctx", {})
                )
                for detail in error.errors(include_url=False)
                if not is_template(detail["input"])
            ]
            if found:
                raise ValidationError.from_exception_data(error.title, found) from None
        return {"written": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = PipelineAttributes.model_json_schema()
        open_schema: dict[str, Any] = _open_to_templates(schema, schema["$defs"])
        return open_schema


def is_template(value: object) -> bool:
    """Whether `value` is text that dg renders: '{{ env.HOME }}/data'."""
    return isinstance(value, str) and _TEMPLATE.search(value) is not None


def _open_to_templates(schema: Any, definitions: dict[str, Any]) -> Any:
    """`schema` with a template allowed for every property, and its parts in place of references to them."""
    if isinstance(schema, list):
        return [_open_to_templates(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        named = definitions[schema["$ref"].removeprefix("#/$defs/")]
        notes = {key: value for key, value in schema.items() if key in _NOTES}
        return {**_open_to_templates(named, definitions), **notes}
    opened = {key: _open_to_templates(value, definitions) for key, value in schema.items() if key != "$defs"}
    if "properties" in schema:
        opened["properties"] = {name: _or_template(field) for name, field in opened["properties"].items()}
    return opened


def _or_template(field: dict[str, Any]) -> dict[str, Any]:
    """`field` unless it is a template; whole sections are none, so that what is wrong in them is told at its line."""
    if "properties" in field or "properties" in field.get("items", {}):
        return field
    notes = {key: value for key, value in field.items() if key in _NOTES}
    # With 'else', unlike 'anyOf', a validator says what the field itself asks for.
    return {"if": _TEMPLATE_SCHEMA, "else": {key: field[key] for key in field if key not in _NOTES}, **notes}
