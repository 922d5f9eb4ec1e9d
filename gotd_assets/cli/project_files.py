"""Files that a project's folder needs beside gotd.yaml: written by the commands that need them, where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.errors import SettingsError

# How Dagster stores runs in the project's home, and what it loads.
DAGSTER_FILES = ("dagster.yaml", "workspace.yaml")
SETTINGS_FILE = "gotd.yaml"


def shipped(name: str) -> str:
    """The text of a file that comes with the package: in the installed package, or beside it in the repository.

    Raises:
        SettingsError: in neither place; the installation is damaged.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "project_files", package.parent):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise SettingsError(f"{name} is not in {package / 'project_files'}: install gotd-assets again")


def complete(folder: Path, names: Sequence[str] = DAGSTER_FILES) -> list[Path]:
    """Write those of `names` that `folder` lacks, as they are shipped; returns what was written."""
    missing = [folder / name for name in names if not (folder / name).exists()]
    for path in missing:
        write_atomically(path, shipped(path.name))
    return missing
