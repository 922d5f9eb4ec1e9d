"""What is told of a run, and whether it is told."""

import dagster as dg

from gotd_assets.pipeline import tags
from gotd_assets.settings.operation import NotifySettings
from gotd_assets.watch.notify import Notification


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
