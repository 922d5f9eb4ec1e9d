"""`gotd compare`: methods side by side on the project's own data, over budgets and seeds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gotd_assets.artifacts.run_lock import alone
from gotd_assets.cli.journal import ConsoleJournal

if TYPE_CHECKING:
    from gotd_assets.settings.project import Project


def compare(
    project: Project,
    targets: list[str] | None,
    console: Console,
    *,
    out: Path,
    minutes: float | None,
    train: bool,
) -> bool:
    """Make what is missing of the project's comparison, and write its page; whether it is complete.

    Raises:
        SettingsError: a target is unknown, or the budgets cannot be told.
        GotdError: another `gotd run` is working in this home.
    """
    from gotd_assets.comparison.cells import Comparison
    from gotd_assets.comparison.forecast import forecast
    from gotd_assets.comparison.page import answers, write_page
    from gotd_assets.comparison.results import read_results
    from gotd_assets.comparison.run import make_cells

    # It tells of every run that its monitoring began and ended; read when it is loaded, so before anything is trained.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    comparison = Comparison.of(project, targets or ())
    crossed = (comparison.targets, "targets"), (comparison.arms, "methods"), (comparison.budgets, "budgets")
    for things, name in (*crossed, (comparison.seeds, "seeds")):
        console.print(f"{name}: {', '.join(map(str, things))}", highlight=False)
    for remark in comparison.remarks:
        console.print(Text("warning:", "yellow"), remark)
    with alone(project.home):
        console.print(f"forecast: {forecast(comparison, train=train)}", highlight=False, soft_wrap=True)
        progress = make_cells(
            comparison,
            ConsoleJournal(console),
            lambda line: console.rule(Text(line), align="left"),
            minutes=minutes,
            train=train,
        )
        failures = [f"{cell}: {why}" for cell, why in progress.failures.items()]
        results = read_results(comparison)
        files = write_page(comparison, results, failures, out)
    for line in answers(comparison, results):
        console.print(line, highlight=False, markup=False)
    console.print(f"{files[0]} and {files[1].name}", highlight=False)
    if not progress.complete:
        console.print("not complete; the same command goes on from here")
    return progress.complete
