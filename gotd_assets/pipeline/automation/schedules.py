"""What starts by the clock, if the settings say so."""

import dagster as dg

from gotd_assets.errors import SettingsError
from gotd_assets.pipeline.placement import Placement


def build_schedules(placement: Placement) -> list[dg.ScheduleDefinition]:
    """The schedule over everything, if there is one.

    Raises:
        SettingsError: `orchestration.schedule` is no cron expression.
    """
    cron = placement.declared.settings.orchestration.schedule
    if cron is None:
        return []
    try:
        schedule = dg.ScheduleDefinition(
            name=placement.name("everything_by_the_clock"),
            job_name=placement.name("materialize_everything"),
            cron_schedule=cron,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Makes everything that is missing or stale, at the times of orchestration.schedule.",
        )
    except dg.DagsterInvalidDefinitionError as error:
        raise SettingsError(f"orchestration.schedule: {cron!r} is no cron expression such as '0 3 * * *'") from error
    return [schedule]
