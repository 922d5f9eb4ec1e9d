"""docs/settings.md, written from the descriptions in `settings`."""

import types
import typing
from typing import Any

from pydantic import BaseModel

from gotd_assets.catalogue.tables import markdown_table
from gotd_assets.settings.project import Settings
from gotd_assets.settings.section import section_in
from gotd_assets.settings.texts import Url

_INTRODUCTION = (
    "All of `gotd.yaml`. Any setting outside a list can also be given as an environment variable: "
    "`GOTD_TRANSPORT__EPSILON=0.05` overrides `transport.epsilon`. Written by `make docs`."
)
_TYPES = {"str": "text", "int": "integer", "float": "number", "bool": "yes or no", "Path": "path"}


def reference() -> str:
    """Every setting with type, default and meaning, as Markdown."""
    table = markdown_table(("setting", "type", "default", "meaning"), _rows(Settings, ""))
    return "\n".join(["# Settings", "", _INTRODUCTION, "", *table])


def _rows(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner, many = _section(field.annotation)
        if inner is not None:
            rows.append((f"**`{path}`**", "", "", str(field.description)))
            rows += _rows(inner, f"{path}[]." if many else f"{path}.")
            continue
        default = "*required*" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        rows.append((f"`{path}`", _type(field.annotation), default, field.description or "Name."))
    return rows


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    return section_in(annotation), typing.get_origin(annotation) is list


def _shown(value: object) -> str:
    return "" if value is None else f"`{str(value).replace('|', chr(92) + '|')}`"


def _type(annotation: Any) -> str:
    if annotation == Url:
        return "URL"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is typing.Annotated:
        return _type(arguments[0])
    name: str = annotation.__name__
    return _TYPES.get(name, name)
