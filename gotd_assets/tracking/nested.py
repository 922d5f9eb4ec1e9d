"""Finished pieces of work below another run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gotd_assets.tracking.abandoned import end_open, runs_below
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.server import prepare_tracking, tracking_client, tracking_failures_told

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclasses.dataclass(frozen=True)
class NestedRun:
    """A finished piece of work below another run: its name, parameters and figures, and pieces of its own."""

    name: str
    parameters: Mapping[str, object]
    figures: Mapping[str, float]
    below: Sequence[NestedRun] = ()


def log_nested(context: TrackingContext, parent: str, run: NestedRun) -> str:
    """Record `run` and everything below it as children of run `parent`; return its id.

    Raises:
        TrainingError: MLflow cannot be used.
    """
    experiment_id = prepare_tracking(context)
    with tracking_failures_told(context.uri):
        client = tracking_client(context.uri)
        for earlier in runs_below(client, experiment_id, parent):
            # What a kill left of the same piece of work.
            if earlier.info.run_name == run.name and earlier.info.status == "RUNNING":
                end_open(client, earlier)
        return _log_below(client, context, experiment_id, parent, run)


def _log_below(client: MlflowClient, context: TrackingContext, experiment_id: str, parent: str, run: NestedRun) -> str:
    from mlflow.entities import Metric, Param

    now = time.time_ns() // 1_000_000
    tags = {**context.tags, "mlflow.parentRunId": parent}
    run_id = str(client.create_run(experiment_id, tags=tags, run_name=run.name).info.run_id)
    client.log_batch(
        run_id,
        metrics=[Metric(key, float(value), now, 0) for key, value in run.figures.items()],
        params=[Param(key, str(value)) for key, value in run.parameters.items()],
    )
    for child in run.below:
        _log_below(client, context, experiment_id, run_id, child)
    client.set_terminated(run_id, "FINISHED")
    return run_id
