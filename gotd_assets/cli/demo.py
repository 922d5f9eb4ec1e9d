"""`gotd demo`: real text and models, from nothing to a selection and a tracked training run."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gotd_assets.cli.project import settings_file_here
from gotd_assets.cli.project_files import DAGSTER_FILES, SETTINGS_FILE, complete
from gotd_assets.settings.file import SETTINGS_FILE_VARIABLE, load_project


def demo(console: Console) -> None:
    """Run the demonstration's project in the working directory, which becomes one if there is no gotd.yaml.

    Raises:
        GotdError: a package cannot be fetched, or a station failed.
    """
    from gotd_assets.cli.report import show
    from gotd_assets.cli.run import run
    from gotd_assets.demo.data import prepare

    if SETTINGS_FILE_VARIABLE not in os.environ:
        for path in complete(Path.cwd(), (SETTINGS_FILE, *DAGSTER_FILES)):
            console.print(f"wrote {path.name}")
    project = load_project(settings_file_here())
    console.rule(Text("text and models from packages", "bold"), align="left")
    prepare(project.home.demo, lambda line: console.print(f"  {line}"))
    run(None, console)
    for target in project.settings.targets:
        show(project, target.name, console)
