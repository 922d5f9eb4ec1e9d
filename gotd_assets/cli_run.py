"""`gotd run`: materialise everything that is missing or stale, in the order of the data, without a daemon."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gotd_assets.cli_project import settings_file_here
from gotd_assets.launcher import alone
from gotd_assets.settings import load_project

if TYPE_CHECKING:
    import dagster as dg

    from gotd_assets.defs.placement import Placement
    from gotd_assets.defs.stages import Stage


def run(targets: list[str] | None, console: Console, *, dry_run: bool = False) -> None:
    """Materialise every asset for `targets` (all by default), one Dagster run per partition, recorded in the instance.

    Stations find what stands already by version, so a second run does next to nothing. One target's failure does not
    stop the others. A dry run goes the same way, but its stations only work out versions, and it is recorded nowhere.

    Raises:
        SettingsError: the settings are wrong or name no such target.
        GotdError: a station failed; its message says what to do.
    """
    import dagster as dg

    path = settings_file_here()
    project = load_project(path)
    names = [project.settings.target(name).name for name in targets or [t.name for t in project.settings.targets]]
    os.environ.setdefault("DAGSTER_HOME", str(project.root))
    # The file-based instance and the code location are relative to the project's folder.
    os.chdir(project.root)
    os.environ["GOTD_SETTINGS"] = str(path)
    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    from gotd_assets.defs.placement import Placement
    from gotd_assets.defs.stage_runs import end_killed_runs, run_stages
    from gotd_assets.defs.stages import candidate_stages, target_stages

    stages = [*candidate_stages(project.settings), *target_stages(project.settings, names)]
    for problem in project.problems:
        console.print(f"[yellow]warning:[/] {problem}", highlight=False)
    if dry_run:
        _plan(path, stages, console)
        return
    placement = Placement.of_file(path)
    with alone(project.home), dg.DagsterInstance.get() as instance:
        end_killed_runs(placement, instance)
        run_stages(
            placement,
            project_job(placement, console),
            instance,
            stages,
            announce=lambda number, stage: console.rule(f"[bold]{number}/{len(stages)}[/] {stage.title}", align="left"),
            warn=lambda problem: console.print(f"[yellow]warning:[/] {problem}", highlight=False),
        )


def project_job(placement: Placement, console: Console | None) -> dg.JobDefinition:
    """All assets of the pipeline as one job, that tells of itself on the console."""
    import dagster as dg

    from gotd_assets.defs.pipeline import build_pipeline

    logger = dg.Definitions(loggers={"console": _terminal_logger(console)})
    return dg.Definitions.merge(build_pipeline(placement), logger).resolve_implicit_global_asset_job_def()


def _plan(path: Path, stages: list[Stage], console: Console) -> None:
    """Go through the stages with stations that only plan, on an instance that is thrown away."""
    import tempfile

    import dagster as dg
    from rich.table import Table

    from gotd_assets.defs.placement import Placement
    from gotd_assets.defs.stage_runs import run_stages
    from gotd_assets.planning import Plan

    with tempfile.TemporaryDirectory(prefix="gotd-plan-") as folder, dg.DagsterInstance.ephemeral() as instance:
        plan = Plan(Path(folder) / "plan.json")
        placement = Placement.of_file(path, plan)
        # A dry run says what it found at the end.
        run_stages(
            placement, project_job(placement, None), instance, stages, announce=lambda *_: None, warn=console.print
        )
        entries = plan.entries()
    table = Table("artifact", "verdict", "why")
    for entry in entries:
        table.add_row(entry.name.replace("[", "\\["), entry.verdict, "\n".join(entry.reasons).replace("[", "\\["))
    console.print(table)
    made = sum(entry.verdict == "would be made" for entry in entries)
    console.print(f"{made} of {len(entries)} artifacts would be made; nothing was", highlight=False)


def _terminal_logger(console: Console | None) -> dg.LoggerDefinition:
    """A Dagster logger that shows what stations say, and none of the orchestrator's own events."""
    import dagster as dg

    @dg.logger
    def terminal(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger("gotd.terminal")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler() if console is None else _ConsoleHandler(console))
        return logger

    return terminal


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        if meta.get("dagster_event") is None:
            line = f"  {meta.get('step_key')}: {meta.get('orig_message')}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
