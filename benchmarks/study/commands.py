"""What the commands of the study do."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.console import Console
from rich.text import Text

from benchmarks.study.plan import FULL, QUICK, EncoderName, Plan
from benchmarks.study.project import Study, open_study
from benchmarks.study.run import run_study
from gotd_assets.cli.journal import ConsoleJournal
from gotd_assets.errors import InputError
from gotd_assets.settings.project import Project

if TYPE_CHECKING:
    from benchmarks.study.figure_three import Experiment


def run_plan(project: Project, plan: Plan, console: Console, *, minutes: float | None, train: bool) -> None:
    """Run what is missing of `plan`."""
    study = _opened(project, plan, console)
    complete = run_study(
        study,
        ConsoleJournal(console),
        lambda line: console.rule(Text(line), align="left"),
        minutes=minutes,
        train=train,
    )
    console.print("  complete" if complete else "  time is over; the same command goes on from here")


def _opened(project: Project, plan: Plan, console: Console) -> Study:
    console.rule(f"[bold]study: {plan.name}, {plan.encoder}", align="left")
    study = open_study(plan, project.home.path, lambda line: console.print(f"  {line}", highlight=False, markup=False))
    console.print(f"  project: {study.folder}", highlight=False, markup=False, soft_wrap=True)
    return study


def figure_three_on_points(out: Path, console: Console) -> None:
    """Write the plot of Figure 3 on points of two Gaussians, and show its figures."""
    from benchmarks.study.figure_three_points import points_experiment

    with tempfile.TemporaryDirectory() as folder:
        _draw_figure_three(points_experiment(Path(folder)), out, console)


def figure_three_on_text(project: Project, plan: Plan, out: Path, console: Console) -> None:
    """Write the plot of Figure 3 on documents of the study `plan`, which are made if they are not there yet."""
    from benchmarks.study.figure_three_text import text_experiment

    study = _opened(project, plan, console)
    with tempfile.TemporaryDirectory() as folder:
        _draw_figure_three(text_experiment(study, Path(folder)), out, console)


def _draw_figure_three(experiment: Experiment, out: Path, console: Console) -> None:
    from rich.table import Table

    from benchmarks.study.figure_three import draw, select_by_all
    from benchmarks.study.plots import save

    points = select_by_all(experiment)
    save(draw(points, experiment), out)
    rare = experiment.rare
    table = Table("method", f"{rare} in the target", "selected", f"{rare} selected", "transport cost saved", box=None)
    for point in points:
        saved = f"{point.before - point.after:.4f}"
        table.add_row(point.method, f"{point.mixture:.0%}", str(point.budget), f"{point.rare:.1%}", saved)
    console.print(table)


def write_study_page(project: Project, out: Path, console: Console) -> None:
    """Write the page of every study there are results of.

    Raises:
        InputError: there are none.
    """
    from benchmarks.study.page import FIGURE_THREE, FIGURE_THREE_ON_TEXT, write_page
    from benchmarks.study.results import read_study

    plans = [plan.with_encoder(encoder) for plan in (QUICK, FULL) for encoder in get_args(EncoderName)]
    studies = [study for plan in plans if (study := Study.of(plan, project.home.path)).is_there]
    found = [results for study in studies if (results := read_study(study)).selections]
    if not found:
        raise InputError("no study was run yet: run `make study-quick` or `make study`")
    plots = out.parent / out.stem
    figure_three_on_points(plots / FIGURE_THREE, console)
    # The larger study's documents, if there are both.
    larger = any(results.plan.name == FULL.name for results in found)
    figure_three_on_text(project, FULL if larger else QUICK, plots / FIGURE_THREE_ON_TEXT, console)
    write_page(found, out, dt.datetime.now(dt.UTC).date())
    console.print(f"{out} and the plots in {plots}", highlight=False)
