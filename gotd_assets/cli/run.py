"""`gotd run`: materialise everything that is missing or stale, in the order of the data, without a daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gotd_assets.artifacts.run_lock import alone
from gotd_assets.cli.project import settings_file_here
from gotd_assets.cli.project_files import complete
from gotd_assets.cli.selections import SelectionsShown
from gotd_assets.errors import GotdError
from gotd_assets.settings.file import load_project

if TYPE_CHECKING:
    from gotd_assets.settings.project import Project
    from gotd_assets.stations.graph import Stage


def run(targets: list[str] | None, console: Console, *, dry_run: bool = False, train: bool = True) -> None:
    """Materialise every asset for `targets` (all by default), one Dagster run per partition, recorded in the instance.

    Stations find what exists already by version, so a second run does next to nothing. One target's failure does not
    stop the others. A dry run goes the same way, but its stations only work out versions, and it is recorded nowhere.
    Unless it is to `train`, a run ends before the first model.

    Raises:
        SettingsError: the settings are wrong or name no such target.
        GotdError: a station failed; its message says what to do.
    """
    path = settings_file_here()
    project = load_project(path)
    names = [project.settings.target(name).name for name in targets or [t.name for t in project.settings.targets]]
    os.environ["GOTD_SETTINGS"] = str(path)
    # Read when MLflow is loaded, which sets the levels of its loggers itself.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from gotd_assets.stations.all import GRAPH

    stages = GRAPH.stages(
        project.settings, names, lambda station: train or GRAPH.comes_early(station, project.settings)
    )

    def warn(problem: str) -> None:
        console.print(Text("warning:", "yellow"), problem)

    for problem in project.problems:
        warn(problem)
    if dry_run:
        _plan(project, stages, console)
        return
    from gotd_assets.pipeline.graph import pipeline_job
    from gotd_assets.pipeline.instance import dagster_instance
    from gotd_assets.pipeline.placement import Placement
    from gotd_assets.pipeline.runs.killed_runs import end_killed_runs
    from gotd_assets.pipeline.runs.stage_runs import command, run_stages
    from gotd_assets.pipeline.runs.stopping import StoppedError

    if "DAGSTER_HOME" not in os.environ and not (project.root / "history").exists():
        # Dagster would spread its default storage over the folder.
        complete(project.root)
    placement = Placement.of_file(path)
    shown = SelectionsShown(project, names, console)

    def announce(number: int, stage: Stage) -> None:
        if any(GRAPH.named(asset).is_late for asset in stage.assets):
            shown.show()
        console.rule(Text.assemble((f"{number}/{len(stages)}", "bold"), f" {stage.title}"), align="left")

    with alone(project.home), dagster_instance(project) as instance:
        end_killed_runs(placement, instance, warn)
        try:
            run_stages(
                placement,
                pipeline_job(placement, console),
                instance,
                stages,
                starter=command(placement),
                announce=announce,
                warn=warn,
            )
        except StoppedError as stopped:
            raise KeyboardInterrupt(stopped.signal) from None


def _plan(project: Project, stages: list[Stage], console: Console) -> None:
    """Tell what the stages would make, and why.

    Raises:
        GotdError: something is wrong in the files or settings; it is told after what can be planned.
    """
    from rich.table import Table

    from gotd_assets.stations.workshop import Workshop

    entries, problems = Workshop(project).plan(stages)
    table = Table("artifact", "verdict", "why")
    for entry in entries:
        table.add_row(entry.name, entry.verdict, "\n".join(entry.reasons))
    console.print(table)
    made = sum(entry.verdict == "would be made" for entry in entries)
    console.print(f"{made} of {len(entries)} artifacts would be made; nothing was")
    if problems:
        raise GotdError("\n".join(problems))
