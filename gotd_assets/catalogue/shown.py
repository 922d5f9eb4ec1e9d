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


Shown: TypeAlias = "str | int | float | bool | Path | Markdown | Link"
Description: TypeAlias = Mapping[str, Shown]


def figures(artifact: Artifact) -> dict[str, Shown]:
    """Numbers and words of the artifact's summary, flat; nested parts are left to tables and pictures."""
    return {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in artifact.manifest.summary.items()
        if isinstance(value, int | float | str | bool)
    }


def count(artifact: Artifact, name: str) -> int:
    """A number of the artifact's summary."""
    return int(str(artifact.manifest.summary[name]))
