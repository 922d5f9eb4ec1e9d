"""What looks at the user's files while the daemon runs."""

import time
from collections.abc import Iterable

import dagster as dg

from gotd_assets.artifacts.run_lock import is_working
from gotd_assets.pipeline import tags
from gotd_assets.pipeline.automation.requested import asked_for
from gotd_assets.pipeline.placement import Placement
from gotd_assets.watch.memory import Memory
from gotd_assets.watch.review import Review, review_sources, review_targets

_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_sensors(placement: Placement) -> list[dg.SensorDefinition]:
    """Sensors for the files of sources and of targets."""
    interval = placement.declared.settings.watch.interval_seconds

    @dg.sensor(
        name=placement.name("watch_sources"),
        job_name=placement.name("ingest_source"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=interval,
        description="Reads and embeds a source again when the content of its files changed.",
    )
    def watch_sources(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Look at the files of every source."""
        loaded = placement.load()
        memory = Memory.of(context.cursor)
        busy = _busy(context.instance, placement, "ingest_source", "raw_candidates", tags.SOURCE)
        find = asked_for(context.instance, placement.name("ingest_source"))
        review = review_sources(loaded, memory, busy, time.time(), find=find)
        return _result(context, placement, review, memory, tags.SOURCE)

    @dg.sensor(
        name=placement.name("watch_targets"),
        job_name=placement.name("rescore_target"),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=interval,
        description="Selects again for a target when the content of its files changed, or new candidates can change its "
        "selection. A new entry of the targets folder becomes a partition; one that is gone is retired, its history kept.",
    )
    def watch_targets(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Look at the files of every target, and at the pool."""
        loaded = placement.load()
        memory = Memory.of(context.cursor)
        busy = _busy(context.instance, placement, "rescore_target", "ot_potentials", tags.TARGET)
        find = asked_for(context.instance, placement.name("rescore_target"))
        registered = placement.partitions.registered(context.instance)
        review = review_targets(loaded, memory, busy, time.time(), registered, find=find)
        return _result(context, placement, review, memory, tags.TARGET)

    return [watch_sources, watch_targets]


def _result(
    context: dg.SensorEvaluationContext, placement: Placement, review: Review, memory: Memory, tag: str
) -> dg.SensorResult:
    partitions = placement.partitions.dynamic_targets
    for name in review.removed:
        context.log.info(f"target {name} is gone from the targets folder: retired, its history is kept")
    for note in review.notes:
        context.log.info(note)
    changes: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if review.added and partitions is not None:
        changes.append(dg.AddDynamicPartitionsRequest(partitions, review.added))
    if review.removed and partitions is not None:
        changes.append(dg.DeleteDynamicPartitionsRequest(partitions, review.removed))
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


def _busy(instance: dg.DagsterInstance, placement: Placement, job: str, asset: str, tag: str) -> set[str]:
    """Names (of sources or targets) for which a run that makes `asset` is on its way."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_IN_PROGRESS))
    return {name for run in _alive(runs, placement) if _makes(run, placement, job, asset) and (name := _name(run, tag))}


def _alive(runs: Iterable[dg.DagsterRun], placement: Placement) -> list[dg.DagsterRun]:
    """Without those that a killed `gotd run` left open."""
    return [run for run in runs if tags.LAUNCHER not in run.tags or is_working(placement.declared.home)]


def _makes(run: dg.DagsterRun, placement: Placement, job: str, asset: str) -> bool:
    return run.job_name == placement.name(job) or placement.key(asset) in (run.asset_selection or ())


def _name(run: dg.DagsterRun, tag: str) -> str | None:
    return run.tags.get(tag) or run.tags.get("dagster/partition")
