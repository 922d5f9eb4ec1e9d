"""What every section of the settings has in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


@dataclasses.dataclass(frozen=True)
class Unversioned:
    """Marks a setting that stands in no version.

    It changes no content (another device, another batch size), or what it names is in versions by its content (a model's
    or a text's place).
    """


UNVERSIONED = Unversioned()


class Section(BaseModel):
    """Some settings that belong together; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def shaping(self, *, without: Collection[str] = ()) -> dict[str, Json]:
        """The settings that shape content, as JSON: those that are not marked, and not in `without`."""
        left_out = {*unversioned(type(self)), *without}
        shaped: dict[str, Json] = self.model_dump(mode="json", exclude=left_out)
        return shaped


def unversioned(section: type[Section]) -> list[str]:
    """Names of the settings of `section` that are marked `Unversioned`."""
    return [
        name for name, field in section.model_fields.items() if any(isinstance(m, Unversioned) for m in field.metadata)
    ]


def field_path(location: tuple[int | str, ...]) -> str:
    """Where a setting stands, as people write it: 'sources[2].path'."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return parts.removeprefix(".") or "(whole file)"


def example_of(section: type[BaseModel], location: tuple[int | str, ...]) -> str | None:
    """What people may write for the setting at `location`, as its field says; None if it says nothing."""
    inner: type[BaseModel] | None = section
    field = None
    for part in location:
        if isinstance(part, int):
            continue
        field = None if inner is None else inner.model_fields.get(part)
        inner = None if field is None else section_in(field.annotation)
    examples = None if field is None else field.examples
    return str(examples[0]) if examples else None


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a setting of this type holds, alone, optional or in a list; None if it is no section."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := section_in(inner)) is not None), None)


def shortened(value: object) -> str:
    """`value` as messages show it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
