"""The whole pipeline at one place in a code location."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from rich.console import Console

from gotd_assets.errors import SettingsError
from gotd_assets.pipeline.asset import build_asset
from gotd_assets.pipeline.automation.conditions import build_automation
from gotd_assets.pipeline.automation.notifications import build_notifiers
from gotd_assets.pipeline.automation.schedules import build_schedules
from gotd_assets.pipeline.automation.sensors import build_sensors
from gotd_assets.pipeline.checks import records_of_training_agree
from gotd_assets.pipeline.comparing import compares, comparison_asset, comparison_job
from gotd_assets.pipeline.own_assets import external_assets
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.resources import own_resources
from gotd_assets.pipeline.runs.console import terminal_logger
from gotd_assets.pipeline.runs.jobs import build_jobs
from gotd_assets.pipeline.runs.stage_jobs import build_stage_jobs


def build_pipeline(placement: Placement, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and automation of the pipeline at `placement`.

    It brings `resources`; by default those that its code location does not.

    Raises:
        SettingsError: the settings name an asset that there is not.
    """
    settings = placement.declared.settings
    stations = placement.graph.existing(settings)
    orchestration = settings.orchestration
    for section in ("op_tags", "freshness_hours"):
        unknown = getattr(orchestration, section).keys() - {station.name for station in stations}
        if unknown:
            raise SettingsError(
                f"orchestration.{section}: there is no asset {min(unknown)!r}; there are: "
                f"{', '.join(station.name for station in stations)}"
            )
    return dg.Definitions(
        assets=[
            *external_assets(placement),
            *(build_asset(station, placement) for station in stations),
            *([comparison_asset(placement)] if compares(placement) else []),
        ],
        asset_checks=[records_of_training_agree(placement)] if _trains(placement) else [],
        jobs=[
            *build_jobs(placement),
            *build_stage_jobs(placement, lambda given: pipeline_job(placement, resources=given)),
            *([comparison_job(placement)] if compares(placement) else []),
        ],
        resources=own_resources(placement) if resources is None else resources,
        schedules=build_schedules(placement),
        sensors=[*build_sensors(placement), build_automation(placement), *build_notifiers(placement)],
    )


def _trains(placement: Placement) -> bool:
    return placement.declared.settings.training is not None


def pipeline_job(
    placement: Placement, console: Console | None = None, resources: Mapping[str, Any] | None = None
) -> dg.JobDefinition:
    """All assets of the pipeline as one job; what its stations say is shown on `console`, if there is one.

    Its resources are `resources`, by key; by default they say what the settings say.
    """
    logger = dg.Definitions(loggers={"console": terminal_logger(console)})
    pipeline = build_pipeline(placement, resources or own_resources(placement, all_of_them=True))
    return dg.Definitions.merge(pipeline, logger).resolve_implicit_global_asset_job_def()
