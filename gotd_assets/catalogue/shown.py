"""What an artifact says of itself: figures with stable names, tables, pictures, and where its files are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from gotd_assets.artifacts.artifact import Artifact

ROW_COUNT = "dagster/row_count"
"""The name under which Dagster's catalogue looks for the number of rows."""


@dataclasses.dataclass(frozen=True)
class Markdown:
    """Text with tables, pictures and emphasis."""

    text: str


@dataclasses.dataclass(frozen=True)
class Link:
    """An address to go to."""

    url: str


@dataclasses.dataclass(frozen=True)
class Details:
    """Figures for whoever looks closely, folded together."""

    figures: Mapping[str, int | float | str | bool]


@dataclasses.dataclass(frozen=True)
class Percent:
    """Name of a share in an artifact's summary that is shown in percent, as NAME_percent."""

    name: str


Shown: TypeAlias = "str | int | float | bool | Path | Markdown | Link | Details"
Description: TypeAlias = Mapping[str, Shown]


def figures(artifact: Artifact, *first: str | Percent) -> dict[str, Shown]:
    """Numbers and words of the artifact's summary: those named in `first` in that order, the others as `details`.

    All of them, if none is named. Nested parts are left to tables and pictures.
    """
    flat = {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in artifact.manifest.summary.items()
        if isinstance(value, int | float | str | bool)
    }
    if not first:
        return dict(flat)
    shown: dict[str, Shown] = {}
    for one in first:
        name = one.name if isinstance(one, Percent) else one
        if name not in flat:
            continue
        value = flat.pop(name)
        if isinstance(one, Percent):
            shown[f"{name}_percent"] = float(f"{100 * float(value):.4g}")
        else:
            shown[name] = value
    return {**shown, "details": Details(flat)} if flat else shown


def count(artifact: Artifact, name: str) -> int:
    """A number of the artifact's summary."""
    return int(str(artifact.manifest.summary[name]))
