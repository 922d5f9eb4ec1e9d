"""Ends what a kill left of runs: open ones, and the pool slots that steps held."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from gotd_assets.pipeline import tags
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.runs.jobs import STAGE_JOBS
from gotd_assets.pipeline.runs.stage_runs import COMMAND


def end_killed_runs(placement: Placement, instance: dg.DagsterInstance, warn: Callable[[str], None]) -> None:
    """Mark runs started by `run_stages` that are still open as failed, and free the pool slots of runs that have ended.

    Called while nobody else can run stages of the pipeline, so whatever is open was killed. Runs of others may be at
    work: whose slot a step of this pipeline will wait for is told.

    Args:
        placement: the pipeline.
        instance: where the runs are recorded.
        warn: told which runs hold the pool.
    """
    running = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    starters = [placement.name(name) for name in (COMMAND, *STAGE_JOBS)]
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=running, tags={tags.LAUNCHER: starters})):
        instance.report_run_failed(run, "the process of this run was killed")
    _free_slots(instance)
    for holder in _holders(placement, instance):
        warn(
            f"run {holder} holds the pool {placement.pool}, which steps that use all cores wait for; if its process is no "
            "longer there, cancel it in the Dagster UI"
        )


def _free_slots(instance: dg.DagsterInstance) -> None:
    """Free the slots of runs that ended without giving them back; Dagster's daemon does so where one runs."""
    storage = instance.event_log_storage
    holding = storage.get_concurrency_run_ids() if storage.supports_global_concurrency_limits else set()
    if not holding:
        return
    ended = instance.get_runs(filters=dg.RunsFilter(run_ids=list(holding), statuses=FINISHED_STATUSES))
    # One that was deleted has ended, too.
    there = {run.run_id for run in instance.get_runs(filters=dg.RunsFilter(run_ids=list(holding)))}
    for run_id in {run.run_id for run in ended} | (holding - there):
        storage.free_concurrency_slots_for_run(run_id)


def _holders(placement: Placement, instance: dg.DagsterInstance) -> list[str]:
    """Runs with a slot in the pool, where it has none left."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return []
    pool = storage.get_concurrency_info(placement.pool)
    is_full = 0 < pool.slot_count <= len(pool.claimed_slots)
    return sorted({slot.run_id for slot in pool.claimed_slots}) if is_full else []
