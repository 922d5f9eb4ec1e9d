"""Figures of a comparison's artifacts that the artifacts do not hold: they are the same however long they took."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gotd_assets.artifacts.atomic import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from gotd_assets.settings.home import Home


class Ledger:
    """Numbers by version and name, in one file of the home; written whenever one is added."""

    def __init__(self, home: Home) -> None:
        self._file: Path = home.path / "comparison" / "figures.json"
        self._figures: dict[str, dict[str, float]] = (
            json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else {}
        )

    def get(self, version: str, name: str) -> float | None:
        """The number called `name` of the artifact with `version`; None if it is not known."""
        return self._figures.get(version, {}).get(name)

    def put(self, version: str, name: str, value: float) -> None:
        """Keep a number."""
        self._figures.setdefault(version, {})[name] = round(value, 6)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, json.dumps(self._figures))
