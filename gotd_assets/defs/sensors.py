"""What looks at the user's files while the daemon runs."""

import time
from collections.abc import Iterable

import dagster as dg

from gotd_assets.defs import tags
from gotd_assets.defs.partitions import TARGETS, Partitions
from gotd_assets.defs.resources import ProjectResource
from gotd_assets.launcher import is_working
from gotd_assets.settings import Project
from gotd_assets.watch.changes import Memory
from gotd_assets.watch.review import Review, review_sources, review_targets

_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_sensors(declared: Project, partitions: Partitions) -> list[dg.SensorDefinition]:
    """Sensors for the files of sources and of targets."""

    @dg.sensor(
        job_name="ingest_source",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=declared.settings.watch.interval_seconds,
    )
    def watch_sources(context: dg.SensorEvaluationContext, project: ProjectResource) -> dg.SensorResult:
        """Reads and embeds a source again when the content of its files changed."""
        loaded = project.load()
        memory = Memory.of(context.cursor)
        busy = _busy(context.instance, loaded, "ingest_source", "raw_candidates", tags.SOURCE)
        review = review_sources(loaded, memory, busy, time.time())
        return _result(context, review, memory, tags.SOURCE)

    @dg.sensor(
        job_name="rescore_target",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=declared.settings.watch.interval_seconds,
    )
    def watch_targets(context: dg.SensorEvaluationContext, project: ProjectResource) -> dg.SensorResult:
        """Selects again for a target when the content of its files changed, or new candidates can change its selection.

        A new entry of the targets folder becomes a partition; one that is gone is retired, its history kept.
        """
        loaded = project.load()
        memory = Memory.of(context.cursor)
        busy = _busy(context.instance, loaded, "rescore_target", "ot_potentials", tags.TARGET)
        review = review_targets(loaded, memory, busy, time.time(), partitions.registered(context.instance))
        return _result(context, review, memory, tags.TARGET)

    return [watch_sources, watch_targets]


def _result(context: dg.SensorEvaluationContext, review: Review, memory: Memory, tag: str) -> dg.SensorResult:
    for name in review.removed:
        context.log.info(f"target {name} is gone from the targets folder: retired, its history is kept")
    for note in review.notes:
        context.log.info(note)
    changes: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if review.added:
        changes.append(dg.AddDynamicPartitionsRequest(TARGETS, review.added))
    if review.removed:
        changes.append(dg.DeleteDynamicPartitionsRequest(TARGETS, review.removed))
    requests = [
        dg.RunRequest(
            run_key=request.run_key,
            partition_key=request.name,
            tags={tag: request.name, tags.REASON: request.reason},
        )
        for request in review.requests
    ]
    reason = None if requests else dg.SkipReason("; ".join(review.notes)[:2000] or "nothing changed")
    return dg.SensorResult(
        run_requests=requests, skip_reason=reason, dynamic_partitions_requests=changes, cursor=memory.as_cursor()
    )


def _busy(instance: dg.DagsterInstance, project: Project, job: str, asset: str, tag: str) -> set[str]:
    """Names (of sources or targets) for which a run that makes `asset` is on its way."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_IN_PROGRESS))
    return {name for run in _alive(runs, project) if _makes(run, job, asset) and (name := _name(run, tag))}


def _alive(runs: Iterable[dg.DagsterRun], project: Project) -> list[dg.DagsterRun]:
    """Without those that a killed `gotd run` left open."""
    return [run for run in runs if tags.LAUNCHER not in run.tags or is_working(project.home)]


def _makes(run: dg.DagsterRun, job: str, asset: str) -> bool:
    return run.job_name == job or dg.AssetKey(asset) in (run.asset_selection or ())


def _name(run: dg.DagsterRun, tag: str) -> str | None:
    return run.tags.get(tag) or run.tags.get("dagster/partition")
