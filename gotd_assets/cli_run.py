"""`gotd run`: materialise everything that is missing or stale, in the order of the data, without a daemon."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gotd_assets.errors import GotdError
from gotd_assets.settings import Settings, load_project, settings_path

if TYPE_CHECKING:
    import dagster as dg

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
_LAUNCHER = "gotd/launcher"


@dataclasses.dataclass(frozen=True)
class _Stage:
    title: str
    assets: tuple[str, ...]
    partition: str | dict[str, str] | None


def run(targets: list[str] | None, console: Console) -> None:
    """Materialise every asset for `targets` (all by default), one Dagster run per partition, recorded in the instance.

    Stations find what stands already by version, so a second run does next to nothing.

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

    definitions = dg.Definitions.merge(defs(), dg.Definitions(loggers={"console": _terminal_logger(console)}))
    job = definitions.resolve_implicit_global_asset_job_def()
    stages = list(_stages(project.settings, names))
    with _alone(project.home), dg.DagsterInstance.get() as instance:
        _end_killed_runs(instance)
        for number, stage in enumerate(stages, 1):
            console.rule(f"[bold]{number}/{len(stages)}[/] {stage.title}", align="left")
            _execute(job, instance, stage)


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
            yield _Stage(f"target {target}: transport and scores", _TARGET_STATIONS, target)
        for method in settings.selection.methods:
            title = f"target {target}: select by {method} and pre-fine-tune"
            yield _Stage(title, _SELECTION_STATIONS, {"target": target, "method": method})
        yield _Stage(f"target {target}: evaluation", _REPORT_STATIONS, target)


def _execute(job: dg.JobDefinition, instance: dg.DagsterInstance, stage: _Stage) -> None:
    import dagster as dg

    partition = dg.MultiPartitionKey(stage.partition) if isinstance(stage.partition, dict) else stage.partition
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition,
        asset_selection=[dg.AssetKey(asset) for asset in stage.assets],
        run_config={"loggers": {"console": {}}},
        tags={_LAUNCHER: "gotd run"},
        raise_on_error=False,
    )
    if result.success:
        return
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            cause = error.cause if error is not None and error.cause is not None else error
            message = cause.message.strip() if cause is not None else "unknown error"
            raise GotdError(f"{event.step_key} failed in run {result.run_id}:\n{message}")
    raise GotdError(f"run {result.run_id} failed before any step; see it in the Dagster UI")


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one `gotd run` work in a home at a time; the lock of a killed one is free."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GotdError(f"another `gotd run` is working in {home}: wait for it, or stop it") from error
        yield


def _end_killed_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of ours that are still open as failed, and free the pool slots that their steps hold.

    Called while no other `gotd run` can live, so whatever is open was killed.
    """
    import dagster as dg

    running = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=running, tags={_LAUNCHER: "gotd run"})):
        instance.report_run_failed(run, "the process of this run was killed")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _terminal_logger(console: Console) -> dg.LoggerDefinition:
    """A Dagster logger that shows what stations say, and none of the orchestrator's own events."""
    import dagster as dg

    @dg.logger
    def terminal(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger("gotd.terminal")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers.clear()
        logger.addHandler(_ConsoleHandler(console))
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
