"""Which project a command is about: a gotd.yaml, or a defs.yaml of the component in somebody's Dagster project."""

from __future__ import annotations

from pathlib import Path

from gotd_assets.errors import SettingsError
from gotd_assets.settings.file import SETTINGS_FILE_VARIABLE, load_project, settings_path
from gotd_assets.settings.project import Project


def is_component(path: Path) -> bool:
    """Whether `path` is where Dagster describes components."""
    return path.name in ("defs.yaml", "defs.yml")


def project_here() -> Project:
    """The project that GOTD_SETTINGS names, else the gotd.yaml of the working directory.

    Raises:
        SettingsError: there is none, or what describes it is wrong.
    """
    path = settings_path()
    return _of_component(path) if is_component(path) else load_project(path)


def settings_file_here() -> Path:
    """The gotd.yaml, for commands that run assets or servers.

    Raises:
        SettingsError: there is none, or the project is a component: Dagster runs those itself.
    """
    path = settings_path()
    if is_component(path):
        raise SettingsError(
            f"{path} describes a component, which its own Dagster project runs: use `dg dev` or `dg launch` there. "
            f"Commands that only read (audit, explain, report, export, verify) work with {SETTINGS_FILE_VARIABLE} as it is"
        )
    return path


def _of_component(path: Path) -> Project:
    import sys

    import dagster as dg

    from gotd_assets.components.selection_pipeline import SelectionPipeline

    root = next((folder for folder in path.parents if (folder / "pyproject.toml").is_file()), path.parent)
    # As `dg` does: the project's own module need not be installed.
    sys.path[:0] = [str(root), str(root / "src")]
    try:
        component = dg.ComponentTree.for_project(root).load_component(path.parent)
    except Exception as error:
        raise SettingsError(f"{path}: the Dagster project in {root} cannot be loaded: {error}") from error
    if not isinstance(component, SelectionPipeline):
        raise SettingsError(
            f"{path}: expected one `type: gotd_assets.SelectionPipeline`, found {type(component).__name__}"
        )
    return component.placement.declared
