"""Sensors that tell a webhook of failed runs and of new models."""

import dagster as dg

from gotd_assets.pipeline import tags
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.runs.jobs import JOBS, STAGE_JOBS
from gotd_assets.pipeline.runs.telling import notification, worth_telling
from gotd_assets.watch.notify import send


def build_notifiers(placement: Placement) -> list[dg.SensorDefinition]:
    """The sensors, if there is a webhook."""
    if placement.declared.settings.notify.webhook is None:
        return []

    @dg.run_failure_sensor(
        name=placement.name("notify_failure"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the webhook of every failed run.",
    )
    def notify_failure(context: dg.RunFailureSensorContext) -> None:
        """Tells the webhook of every failed run."""
        run, notify = context.dagster_run, placement.load().settings.notify
        if _is_of(placement, run):
            problem = send(notify, notification(run, notify, error=context.failure_event.message))
            if problem is not None:
                context.log.warning(problem)

    @dg.run_status_sensor(
        name=placement.name("notify_success"),
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the webhook of new models (notify.success).",
    )
    def notify_success(context: dg.RunStatusSensorContext) -> None:
        """Tells the webhook of new models (`notify.success`)."""
        run, notify = context.dagster_run, placement.load().settings.notify
        if _is_of(placement, run) and worth_telling(run, notify):
            problem = send(notify, notification(run, notify))
            if problem is not None:
                context.log.warning(problem)

    return [notify_failure, notify_success]


def _is_of(placement: Placement, run: dg.DagsterRun) -> bool:
    """Whether a run is the pipeline's to tell of.

    `gotd run` tells of its own runs, as it may have no daemon, and so does a job over several partitions; of the job
    itself there is something to tell only if it ended outside of them: killed, say, or before the first.
    """
    if tags.LAUNCHER in run.tags or tags.TOLD in run.tags:
        return False
    assets = run.asset_selection
    if assets:
        return any(key == placement.key(key.path[-1]) for key in assets)
    return run.job_name in {placement.name(job) for job in (*JOBS, *STAGE_JOBS)}
