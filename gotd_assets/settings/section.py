"""What every section of the settings has in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

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


def shortened(value: object) -> str:
    """`value` as messages show it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
