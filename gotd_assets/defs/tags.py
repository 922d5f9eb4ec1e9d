"""Run tags to filter by: on every run, whoever launched it."""

from collections.abc import Mapping

import dagster as dg

TARGET = "gotd/target"
METHOD = "gotd/method"
SOURCE = "gotd/source"
SELECTION_VERSION = "gotd/selection_version"
MODEL_VERSION = "gotd/model_version"
REASON = "gotd/reason"
LAUNCHER = "gotd/launcher"
TOLD = "gotd/told"

BY_SOURCE = ("raw_candidates", "candidate_embeddings")


def of_partition(asset: str, partition: str | None) -> dict[str, str]:
    """What the partition of an artifact says: the source; or the target, and for a selection the method."""
    if partition is None:
        return {}
    if asset in BY_SOURCE:
        return {SOURCE: partition}
    target, _, method = partition.partition("/")
    return {TARGET: target} | ({METHOD: method} if method else {})


def add(context: dg.AssetExecutionContext, tags: Mapping[str, str]) -> None:
    """Put `tags` on the run of `context`, unless it has them."""
    missing = {key: value for key, value in tags.items() if context.run.tags.get(key) != value}
    if missing:
        context.instance.add_run_tags(context.run.run_id, missing)
