"""`gotd run`: materialise everything that is missing or stale, in the order of the data, without a daemon."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gotd_assets.errors import GotdError
from gotd_assets.launcher import alone
from gotd_assets.settings import Settings, load_project, settings_path

if TYPE_CHECKING:
    import dagster as dg

    from gotd_assets.settings import NotifySettings, Project

_SOURCE_STATIONS = ("raw_candidates", "candidate_embeddings")
_POOL_STATIONS = ("candidate_pool",)
_TARGET_STATIONS = (
    "target_documents",
    "target_embeddings",
    "target_sketch",
    "domain_relevance",
    "ot_potentials",
    "candidate_scores",
)
_SELECTION_STATIONS = ("selected_subset", "pre_fine_tuned_model")
_REPORT_STATIONS = ("evaluation_report",)
_LABELLED_STATIONS = ("labelled_documents",)
_TASK_STATIONS = ("task_evaluation",)
_LAUNCHED_BY = "gotd run"


@dataclasses.dataclass(frozen=True)
class _Stage:
    title: str
    assets: tuple[str, ...]
    partition: str | dict[str, str] | None
    target: str | None = None

    @property
    def artifact_partition(self) -> str | None:
        """The partition as artifacts name it."""
        return "/".join(self.partition.values()) if isinstance(self.partition, dict) else self.partition


def run(targets: list[str] | None, console: Console, *, dry_run: bool = False) -> None:
    """Materialise every asset for `targets` (all by default), one Dagster run per partition, recorded in the instance.

    Stations find what stands already by version, so a second run does next to nothing. One target's failure does not
    stop the others. A dry run goes the same way, but its stations only work out versions, and it is recorded nowhere.

    Raises:
        SettingsError: the settings are wrong or name no such target.
        GotdError: a station failed; its message says what to do.
    """
    import dagster as dg

    path = settings_path()
    project = load_project(path)
    names = [project.settings.target(name).name for name in targets or [t.name for t in project.settings.targets]]
    os.environ.setdefault("DAGSTER_HOME", str(project.root))
    # The file-based instance and the code location are relative to the project's folder.
    os.chdir(project.root)
    os.environ["GOTD_SETTINGS"] = str(path)
    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    from gotd_assets.definitions import defs

    # A dry run says what it found at the end.
    logger = _terminal_logger(None if dry_run else console)
    job = dg.Definitions.merge(
        defs(), dg.Definitions(loggers={"console": logger})
    ).resolve_implicit_global_asset_job_def()
    stages = list(_stages(project.settings, names))
    for problem in project.problems:
        console.print(f"[yellow]warning:[/] {problem}", highlight=False)
    if dry_run:
        _plan(project, job, stages, console)
        return
    with alone(project.home), dg.DagsterInstance.get() as instance:
        _end_killed_runs(instance)
        _run_stages(project, job, instance, stages, console)


def _run_stages(
    project: Project, job: dg.JobDefinition, instance: dg.DagsterInstance, stages: list[_Stage], console: Console
) -> None:
    from gotd_assets.defs.partitions import Partitions

    Partitions.of(project.settings).register(instance, project.settings)
    failures: dict[str | None, GotdError] = {}
    for number, stage in enumerate(stages, 1):
        if stage.target in failures:
            continue
        console.rule(f"[bold]{number}/{len(stages)}[/] {stage.title}", align="left")
        try:
            _execute(job, instance, stage, project.settings.notify, console)
        except GotdError as error:
            # Every target needs the candidates; no target needs another.
            if stage.target is None:
                raise
            failures[stage.target] = error
            console.print(f"[bold red]target {stage.target} failed[/]", highlight=False)
    if failures:
        raise GotdError("\n".join(str(error) for error in failures.values()))


def _plan(project: Project, job: dg.JobDefinition, stages: list[_Stage], console: Console) -> None:
    """Go through the stages with stations that only plan, on an instance that is thrown away."""
    import tempfile

    import dagster as dg
    from rich.table import Table

    from gotd_assets.defs.partitions import Partitions
    from gotd_assets.planning import Plan

    with tempfile.TemporaryDirectory(prefix="gotd-plan-") as folder, dg.DagsterInstance.ephemeral() as instance:
        plan = Plan(Path(folder) / "plan.json")
        Partitions.of(project.settings).register(instance, project.settings)
        for stage in stages:
            _execute(job, instance, stage, None, console, plan=plan.path)
        entries = plan.entries()
    table = Table("artifact", "verdict", "why")
    for entry in entries:
        table.add_row(entry.name.replace("[", "\\["), entry.verdict, "\n".join(entry.reasons).replace("[", "\\["))
    console.print(table)
    made = sum(entry.verdict == "would be made" for entry in entries)
    console.print(f"{made} of {len(entries)} artifacts would be made; nothing was", highlight=False)


def _stages(settings: Settings, targets: list[str]) -> Iterator[_Stage]:
    for source in settings.sources:
        yield _Stage(f"read and embed source {source.name}", _SOURCE_STATIONS, source.name)
    yield _Stage("find duplicates across sources", _POOL_STATIONS, None)
    away = settings.selection.away_target
    scored = [] if away is None else [away]
    if away is not None:
        yield _Stage(f"target {away}: transport and scores", _TARGET_STATIONS, away)
    for target in targets:
        if target not in scored:
            yield _Stage(f"target {target}: transport and scores", _TARGET_STATIONS, target, target)
        for method in settings.selection.methods:
            title = f"target {target}: select by {method} and pre-fine-tune"
            yield _Stage(title, _SELECTION_STATIONS, {"target": target, "method": method}, target)
        yield _Stage(f"target {target}: evaluation", _REPORT_STATIONS, target, target)
        if settings.evaluation.task(target) is not None:
            yield _Stage(f"target {target}: labelled texts", _LABELLED_STATIONS, target, target)
            for method in settings.selection.methods:
                title = f"target {target}: labelled task after {method}"
                yield _Stage(title, _TASK_STATIONS, {"target": target, "method": method}, target)


def _execute(  # noqa: PLR0917
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    stage: _Stage,
    notify: NotifySettings | None,
    console: Console,
    plan: Path | None = None,
) -> None:
    """Run one stage and tell who is to be told.

    Raises:
        GotdError: it failed.
    """
    import dagster as dg

    from gotd_assets.defs import tags

    planning: dict[str, object] = {}
    if plan is not None:
        config = {"settings_file": str(settings_path()), "plan": str(plan)}
        planning = {"resources": {"project": {"config": config}}}
    partition = dg.MultiPartitionKey(stage.partition) if isinstance(stage.partition, dict) else stage.partition
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition,
        asset_selection=[dg.AssetKey(asset) for asset in stage.assets],
        run_config={"loggers": {"console": {}}} | planning,
        tags={tags.LAUNCHER: _LAUNCHED_BY, **tags.of_partition(stage.assets[0], stage.artifact_partition)},
        raise_on_error=False,
    )
    error = None if result.success else _error_of(result)
    run = instance.get_run_by_id(result.run_id)
    if notify is not None and run is not None:
        _tell(run, notify, error, console)
    if error is not None:
        raise GotdError(error)


def _error_of(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            cause = error.cause if error is not None and error.cause is not None else error
            message = cause.message.strip() if cause is not None else "unknown error"
            return f"{event.step_key} failed in run {result.run_id}:\n{message}"
    return f"run {result.run_id} failed before any step; see it in the Dagster UI"


def _tell(run: dg.DagsterRun, notify: NotifySettings, error: str | None, console: Console) -> None:
    from gotd_assets.defs.notifications import notification, worth_telling
    from gotd_assets.notify import send

    if error is not None or worth_telling(run, notify):
        problem = send(notify, notification(run, notify, error))
        if problem is not None:
            console.print(f"[yellow]warning:[/] {problem}", highlight=False)


def _end_killed_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of ours that are still open as failed, and free the pool slots that their steps hold.

    Called while no other `gotd run` can live, so whatever is open was killed.
    """
    import dagster as dg

    from gotd_assets.defs import tags

    running = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=running, tags={tags.LAUNCHER: _LAUNCHED_BY})):
        instance.report_run_failed(run, "the process of this run was killed")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


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
