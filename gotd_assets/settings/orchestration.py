"""Section `orchestration`: how Dagster places, repeats and times the steps."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from gotd_assets.settings.section import Section


class OrchestrationSettings(Section):
    """How Dagster places, repeats and times the steps; none of it changes what they make."""

    retries: int = Field(
        2,
        ge=0,
        description="How often a step is tried again after trouble that may pass: a network, a server, a database in use.",
    )
    retry_seconds: float = Field(
        30, ge=0, description="Seconds before the first of these attempts; before each further one twice as many."
    )
    op_tags: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict,
        description="Tags of single assets' steps, which launchers and executors read: {pre_fine_tuned_model: "
        "{dagster-k8s/config: {container_config: {resources: {limits: {nvidia.com/gpu: 1}}}}}}.",
    )
    freshness_hours: Mapping[str, float] = Field(
        default_factory=dict,
        description="Hours after which an asset that was not made again counts as stale in Dagster: {evaluation_report: 168}; "
        "needs `freshness: {enabled: true}` in dagster.yaml.",
    )
    schedule: str | None = Field(
        None,
        description="Cron expression ('0 3 * * *') at which materialize_everything is started, in UTC, beside what sensors do.",
    )
