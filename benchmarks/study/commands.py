"""What the commands of the study do."""

from __future__ import annotations

import dataclasses
import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.console import Console

from benchmarks.study.plan import FULL, QUICK, EncoderName, Plan
from benchmarks.study.run import alone, run_study
from benchmarks.study.world import open_world
from gotd_assets.errors import InputError
from gotd_assets.settings.project import Project
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.server import tracking_failures_told

if TYPE_CHECKING:
    from benchmarks.study.figure_three import Experiment


def context_of(project: Project, plan: Plan) -> TrackingContext:
    """Where the results of `plan` are."""
    context = TrackingContext.of(project, run_name=plan.name, selection_version="", tags={})
    return dataclasses.replace(context, experiment=plan.experiment)


def run_plan(project: Project, plan: Plan, console: Console, *, minutes: float | None, train: bool) -> None:
    """Run what is missing of `plan`."""

    def say(line: str) -> None:
        console.print(f"  {line}", highlight=False, markup=False)

    console.rule(f"[bold]study: {plan.experiment}", align="left")
    with alone(plan, project.home.path):
        world = open_world(plan, project.home.path, say)
        context = context_of(project, plan)
        with tracking_failures_told(context.uri):
            complete = run_study(world, context, say, minutes=minutes, train=train)
    say("complete" if complete else "time is over; the same command goes on from here")


def figure_three_on_points(out: Path, console: Console) -> None:
    """Write the plot of Figure 3 on points of two Gaussians, and show its figures."""
    from benchmarks.study.figure_three_points import points_experiment

    with tempfile.TemporaryDirectory() as folder:
        _draw_figure_three(points_experiment(Path(folder)), out, console)


def figure_three_on_text(project: Project, plan: Plan, out: Path, console: Console) -> None:
    """Write the plot of Figure 3 on documents of the study `plan`, which are made if they are not there yet."""
    from benchmarks.study.figure_three_text import text_experiment

    world = open_world(plan, project.home.path, lambda line: console.print(f"  {line}", highlight=False, markup=False))
    with tempfile.TemporaryDirectory() as folder:
        _draw_figure_three(text_experiment(world, Path(folder)), out, console)


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
        TrainingError: the tracking server or database failed.
    """
    from benchmarks.study.page import FIGURE_THREE, FIGURE_THREE_ON_TEXT, write_page
    from benchmarks.study.record import StudyRecord
    from benchmarks.study.results import Results

    plans = [plan.with_encoder(encoder) for plan in (QUICK, FULL) for encoder in get_args(EncoderName)]
    contexts = [context_of(project, plan) for plan in plans]
    with tracking_failures_told(contexts[0].uri):
        found = [results for context in contexts if (results := Results.read(StudyRecord(context))) is not None]
    if not found:
        raise InputError("no study was run yet: run `make study-quick` or `make study`")
    plots = out.parent / out.stem
    figure_three_on_points(plots / FIGURE_THREE, console)
    # The larger study's documents, if there are both.
    names = {results.plan["plan"]["name"] for results in found}
    figure_three_on_text(project, FULL if FULL.name in names else QUICK, plots / FIGURE_THREE_ON_TEXT, console)
    write_page(found, out, dt.datetime.now(dt.UTC).date())
    console.print(f"{out} and the plots in {plots}", highlight=False)
