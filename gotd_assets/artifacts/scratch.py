"""What unfinished attempts at an artifact left for the next attempt: checkpoints, and which run in MLflow they are."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from gotd_assets.artifacts.leases import Identity

_VERSION = re.compile("[0-9a-f]{32}")
TRACKING_RUN = "mlflow_run_id"
"""File of an attempt that names its run in MLflow."""


@dataclasses.dataclass(frozen=True)
class Abandoned:
    """An attempt that nobody is working on.

    Attributes:
        path: its folder.
        size: bytes in it.
        tracking_run: its run in MLflow, None if it had none yet.
    """

    path: Path
    size: int
    tracking_run: str | None

    def remove(self) -> None:
        """Remove its files; folders above that are empty then go, too."""
        shutil.rmtree(self.path, ignore_errors=True)
        for folder in self.path.parents:
            try:
                folder.rmdir()
            except OSError:
                return


def abandoned(scratch: Path, *, older_than: dt.timedelta, used: Collection[Identity]) -> list[Abandoned]:
    """Attempts below `scratch` in which nothing was written for so long, and which are not in use."""
    before = time.time() - older_than.total_seconds()
    versions = {version for _, version in used}
    found = []
    for folder, folders, _ in os.walk(scratch):
        path = Path(folder)
        if not _VERSION.fullmatch(path.name):
            continue
        folders.clear()
        if path.name in versions:
            continue
        written = [file for file in path.rglob("*") if file.is_file()]
        with contextlib.suppress(FileNotFoundError):
            sizes = [file.stat() for file in written]
            if all(status.st_mtime <= before for status in sizes) and path.stat().st_mtime <= before:
                found.append(Abandoned(path, sum(status.st_size for status in sizes), _run_of(path)))
    return found


def _run_of(path: Path) -> str | None:
    try:
        return (path / TRACKING_RUN).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
