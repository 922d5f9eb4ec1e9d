"""Attempts at artifacts that were killed and that nobody will continue: ended in MLflow, and removed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from gotd_assets.artifacts.leases import in_use
from gotd_assets.artifacts.scratch import Abandoned, abandoned
from gotd_assets.settings.project import Project
from gotd_assets.stations.work import Work


def end_attempts(project: Project, attempts: Iterable[Abandoned]) -> None:
    """End the runs of `attempts` in MLflow and remove their files.

    Raises:
        TrainingError: the tracking server or database cannot be used.
    """
    from gotd_assets.tracking.abandoned import end_run
    from gotd_assets.tracking.context import TrackingContext

    tracking = TrackingContext.of(project, run_name="", selection_version="", tags={})
    for attempt in attempts:
        if attempt.tracking_run is not None:
            end_run(tracking.uri, attempt.tracking_run)
        attempt.remove()


def end_earlier_attempts(work: Work) -> None:
    """End what was left of attempts at other versions of what `work` has made: it would be continued only by chance."""
    scratch = work.project.home.scratch / work.key.relative_path
    if scratch.is_dir():
        with in_use(work.store.root) as used:
            left = abandoned(scratch, older_than=dt.timedelta(0), used=used)
        end_attempts(work.project, left)
