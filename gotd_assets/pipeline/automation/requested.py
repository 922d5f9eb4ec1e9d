"""What became of the runs that sensors asked for."""

import dagster as dg
from dagster._core.storage.tags import ROOT_RUN_ID_TAG, RUN_KEY_TAG

from gotd_assets.watch.asked import Asked, Find


def asked_for(instance: dg.DagsterInstance, job: str) -> Find:
    """Finds the newest run of `job` for a run key: the one asked for, or a re-execution of it."""

    def find(run_key: str) -> Asked | None:
        first = instance.get_run_records(dg.RunsFilter(job_name=job, tags={RUN_KEY_TAG: run_key}))
        if not first:
            return None
        roots = [record.dagster_run.run_id for record in first]
        again = instance.get_run_records(dg.RunsFilter(tags={ROOT_RUN_ID_TAG: roots}))
        return _asked(instance, max([*first, *again], key=lambda record: record.create_timestamp))

    return find


def _asked(instance: dg.DagsterInstance, record: dg.RunRecord) -> Asked:
    run = record.dagster_run
    ended = record.end_time or record.update_timestamp.timestamp()
    if run.status == dg.DagsterRunStatus.CANCELED:
        return Asked(run.run_id, "canceled", ended)
    if run.status != dg.DagsterRunStatus.FAILURE:
        return Asked(run.run_id, "going")
    failed = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1).records
    return Asked(run.run_id, "failed" if failed else "never began", ended)
