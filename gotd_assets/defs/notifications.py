"""Sensors that tell a webhook of failed runs and of new models."""

import dagster as dg

from gotd_assets.defs import tags
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.notify import Notification, send
from gotd_assets.settings import NotifySettings, Project


def build_notifiers(declared: Project) -> list[dg.SensorDefinition]:
    """The sensors, if there is a webhook. Runs of `gotd run` are told of by itself, as it may have no daemon."""
    if declared.settings.notify.webhook is None:
        return []

    @dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
    def notify_failure(context: dg.RunFailureSensorContext, project: ProjectResource) -> None:
        """Tells the webhook of every failed run."""
        run, notify = context.dagster_run, project.load().settings.notify
        if tags.LAUNCHER not in run.tags:
            problem = send(notify, notification(run, notify, error=context.failure_event.message))
            if problem is not None:
                context.log.warning(problem)

    @dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, default_status=dg.DefaultSensorStatus.RUNNING)
    def notify_success(context: dg.RunStatusSensorContext, project: ProjectResource) -> None:
        """Tells the webhook of new models (`notify.success`)."""
        run, notify = context.dagster_run, project.load().settings.notify
        if tags.LAUNCHER not in run.tags and worth_telling(run, notify):
            problem = send(notify, notification(run, notify))
            if problem is not None:
                context.log.warning(problem)

    return [notify_failure, notify_success]


def notification(run: dg.DagsterRun, notify: NotifySettings, error: str | None = None) -> Notification:
    """What is told of `run`; it failed if there is an `error`."""
    return Notification(
        event="success" if error is None else "failure",
        run_id=run.run_id,
        job=run.tags.get(tags.LAUNCHER, run.job_name),
        link=f"{notify.ui_url.rstrip('/')}/runs/{run.run_id}",
        source=run.tags.get(tags.SOURCE),
        target=run.tags.get(tags.TARGET),
        method=run.tags.get(tags.METHOD),
        selection_version=run.tags.get(tags.SELECTION_VERSION),
        model_version=run.tags.get(tags.MODEL_VERSION),
        reason=run.tags.get(tags.REASON),
        error=error,
    )


def worth_telling(run: dg.DagsterRun, notify: NotifySettings) -> bool:
    """Whether the success of `run` is to be told."""
    if notify.success == "models":
        return tags.MODEL_VERSION in run.tags
    return notify.success == "all"
