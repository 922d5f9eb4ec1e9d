"""`gotd study`: compare the methods on real text."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import get_args

from rich.console import Console

from gotd_assets.errors import InputError
from gotd_assets.settings import Project
from gotd_assets.study.plan import FULL, QUICK, EncoderName, Plan
from gotd_assets.study.run import alone, run_study
from gotd_assets.study.world import open_world
from gotd_assets.training import TrackingContext
from gotd_assets.training.tracking import tracking_failures_told


def context_of(project: Project, plan: Plan) -> TrackingContext:
    """Where the results of `plan` are."""
    context = TrackingContext.of(project, run_name=plan.name, selection_version="", tags={})
    return dataclasses.replace(context, experiment=plan.experiment)


def study(project: Project, plan: Plan, console: Console, *, minutes: float | None, train: bool) -> None:
    """Run what is missing of `plan`."""

    def say(line: str) -> None:
        console.print(f"  {line}", highlight=False, markup=False)

    console.rule(f"[bold]study: {plan.experiment}", align="left")
    with alone(plan, project.home):
        world = open_world(plan, project.home, say)
        context = context_of(project, plan)
        with tracking_failures_told(context.uri):
            complete = run_study(world, context, say, minutes=minutes, train=train)
    say("complete" if complete else "time is over; the same command goes on from here")


def draw_figure_three(out: Path, console: Console) -> None:
    """Write the plot of Figure 3 on vectors, and show its figures."""
    from rich.table import Table

    from gotd_assets.study.figure_three import draw, figure_three
    from gotd_assets.study.plots import save

    points = figure_three()
    save(draw(points), out)
    table = Table("method", "dogs in the target", "selected", "dogs selected", "transport cost saved", box=None)
    for point in points:
        saved = f"{point.before - point.after:.4f}"
        table.add_row(point.method, f"{point.mixture:.0%}", str(point.budget), f"{point.dogs:.1%}", saved)
    console.print(table)


def write_study_page(project: Project, out: Path, console: Console) -> None:
    """Write the page of every study there are results of.

    Raises:
        InputError: there are none.
        TrainingError: the tracking server or database failed.
    """
    from gotd_assets.study.page import FIGURE_THREE, write_page
    from gotd_assets.study.record import StudyRecord
    from gotd_assets.study.results import Results

    plans = [plan.with_encoder(encoder) for plan in (QUICK, FULL) for encoder in get_args(EncoderName)]
    contexts = [context_of(project, plan) for plan in plans]
    with tracking_failures_told(contexts[0].uri):
        found = [results for context in contexts if (results := Results.read(StudyRecord(context))) is not None]
    if not found:
        raise InputError("no study was run yet: run `make study-quick` or `make study`")
    draw_figure_three(out.parent / out.stem / FIGURE_THREE, console)
    write_page(found, out, dt.datetime.now(dt.UTC).date())
    console.print(f"{out} and the plots in {out.parent / out.stem}", highlight=False)
