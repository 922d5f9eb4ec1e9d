"""Run tags to filter by: on every run, whoever launched it."""

from collections.abc import Mapping

import dagster as dg

from gotd_assets.stations import station
from gotd_assets.stations.partition import Partition

TARGET = "gotd/target"
METHOD = "gotd/method"
SOURCE = "gotd/source"
SELECTION_VERSION = station.SELECTION_VERSION.name
MODEL_VERSION = station.MODEL_VERSION.name
SETTINGS = "gotd/settings"
REASON = "gotd/reason"
LAUNCHER = "gotd/launcher"
TOLD = "gotd/told"


def of_partition(partition: Partition) -> dict[str, str]:
    """What the partition says: the source; or the target, and for a selection the method."""
    return {f"gotd/{name}": value for name, value in partition.facts.items()}


def add(context: dg.AssetExecutionContext, tags: Mapping[str, str]) -> None:
    """Put `tags` on the run of `context`, unless it has them."""
    missing = {key: value for key, value in tags.items() if context.run.tags.get(key) != value}
    if missing:
        context.instance.add_run_tags(context.run.run_id, missing)
