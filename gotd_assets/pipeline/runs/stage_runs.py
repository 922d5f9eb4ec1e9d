"""Runs stages one after the other in this process, and tells who is to be told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

import dagster as dg
from dagster._core.execution.job_execution_result import JobExecutionResult

from gotd_assets.errors import GotdError
from gotd_assets.pipeline import tags
from gotd_assets.pipeline.launchpad import config_of
from gotd_assets.pipeline.partitions import key_of
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.runs.child_runs import Starter
from gotd_assets.pipeline.runs.stopping import StoppedError, stops_noted
from gotd_assets.pipeline.runs.telling import notification, worth_telling
from gotd_assets.stations.first_look import load_models, problems_ahead
from gotd_assets.stations.graph import Stage
from gotd_assets.watch.notify import send

COMMAND = "gotd run"


def run_stages(
    placement: Placement,
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    stages: Sequence[Stage],
    *,
    starter: Starter,
    announce: Callable[[int, Stage], None],
    warn: Callable[[str], None],
) -> None:
    """Run one stage after the other in this process; a target's failure does not stop other targets.

    Args:
        placement: the pipeline.
        job: all of its assets.
        instance: where the runs are recorded.
        stages: what to run.
        starter: who runs them.
        announce: told the number, from 1, and the stage before it starts.
        warn: told what went wrong without stopping anything.

    Raises:
        GotdError: a stage failed, or would for want of models or files; its message says what to do.
        StoppedError: a signal to stop arrived; the stage at work was ended, and the next run goes on from there.
    """
    project = placement.load()
    placement.partitions.register(instance, project.settings)
    failures = problems_ahead(placement.graph, project, stages)
    if None in failures:
        raise failures[None]
    load_models(placement.graph, project, stages)
    for target in failures:
        warn(f"target {target} cannot be finished and is not begun")
    with stops_noted() as stopped:
        for number, stage in enumerate(stages, 1):
            if stage.target in failures:
                continue
            announce(number, stage)
            error = _execute(placement, job, instance, stage, starter=starter, warn=warn, stopped=stopped)
            # Every target needs the candidates; no target needs another.
            if error is not None and stage.target is None:
                raise error
            if error is not None:
                failures[stage.target] = error
                warn(f"target {stage.target} failed")
    if failures:
        raise GotdError("\n".join(str(error) for error in failures.values()))


def command(placement: Placement) -> Starter:
    """`gotd run`, as who starts runs."""
    return Starter.of_command(placement.name(COMMAND), placement.declared.root / "workspace.yaml")


def _execute(
    placement: Placement,
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    stage: Stage,
    *,
    starter: Starter,
    warn: Callable[[str], None],
    stopped: Callable[[], int | None],
) -> GotdError | None:
    """Run one stage and tell who is to be told; returns why it failed, if it did.

    Raises:
        StoppedError: a signal to stop arrived.
    """
    result = starter.run(
        job,
        instance,
        partition_key=key_of(stage.partition),
        assets=placement.keys(*stage.assets),
        run_config={"loggers": {"console": {}}, "ops": _ops(placement, stage)},
        run_tags=tags.of_partition(stage.partition),
    )
    run = instance.get_run_by_id(result.run_id)
    number = stopped()
    if number is not None:
        if run is not None and not result.success:
            # To Dagster a step that is interrupted in its own process has failed.
            instance.report_run_canceled(run, f"stopped by {signal.Signals(number).name}")
        raise StoppedError(number)
    error = None if result.success else _error_of(result)
    if run is not None:
        _tell(placement, run, error, warn)
    return None if error is None else GotdError(error)


def _ops(placement: Placement, stage: Stage) -> dict[str, object]:
    settings = placement.declared.settings
    return {
        "__".join(placement.key(asset).path): {"config": config_of(placement.graph.named(asset), overrides, settings)}
        for asset, overrides in stage.overrides.items()
    }


def _error_of(result: JobExecutionResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            if told is not None and told.description:
                return f"{event.step_key} failed in run {result.run_id}:\n{told.description}"
            error = event.step_failure_data.error
            cause = error.cause if error is not None and error.cause is not None else error
            message = cause.message.strip() if cause is not None else "unknown error"
            return f"{event.step_key} failed in run {result.run_id}:\n{message}"
    return f"run {result.run_id} failed before any step; see it in the Dagster UI"


def _tell(placement: Placement, run: dg.DagsterRun, error: str | None, warn: Callable[[str], None]) -> None:
    notify = placement.declared.settings.notify
    if error is not None or worth_telling(run, notify):
        problem = send(notify, notification(run, notify, error))
        if problem is not None:
            warn(problem)
