"""The whole pipeline at one place in a code location."""

import dagster as dg
from rich.console import Console

from gotd_assets.pipeline.asset import build_asset
from gotd_assets.pipeline.automation.conditions import build_automation
from gotd_assets.pipeline.automation.notifications import build_notifiers
from gotd_assets.pipeline.automation.sensors import build_sensors
from gotd_assets.pipeline.checks import records_of_training_agree
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.runs.console import terminal_logger
from gotd_assets.pipeline.runs.jobs import build_jobs
from gotd_assets.pipeline.runs.stage_jobs import build_stage_jobs


def build_pipeline(placement: Placement) -> dg.Definitions:
    """Assets, checks, jobs, sensors and automation of the pipeline at `placement`."""
    stations = placement.graph.existing(placement.declared.settings)
    return dg.Definitions(
        assets=[build_asset(station, placement) for station in stations],
        asset_checks=[records_of_training_agree(placement)] if _trains(placement) else [],
        jobs=[*build_jobs(placement), *build_stage_jobs(placement, lambda: pipeline_job(placement))],
        sensors=[*build_sensors(placement), build_automation(placement), *build_notifiers(placement)],
    )


def _trains(placement: Placement) -> bool:
    return placement.declared.settings.training is not None


def pipeline_job(placement: Placement, console: Console | None = None) -> dg.JobDefinition:
    """All assets of the pipeline as one job; what its stations say is shown on `console`, if there is one."""
    logger = dg.Definitions(loggers={"console": terminal_logger(console)})
    return dg.Definitions.merge(build_pipeline(placement), logger).resolve_implicit_global_asset_job_def()
