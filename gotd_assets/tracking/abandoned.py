"""Runs in MLflow whose process was killed and that nobody will continue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.tracking.server import is_missing, tracking_client, tracking_failures_told

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def end_run(uri: str, run_id: str) -> None:
    """Mark `run_id`, and what runs below it, as killed if MLflow takes them for running; nothing if there is none.

    Raises:
        TrainingError: the tracking server or database cannot be used.
    """
    from mlflow.exceptions import MlflowException

    if is_missing(uri):
        return
    with tracking_failures_told(uri):
        client = tracking_client(uri)
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return
            raise
        end_open(client, run)


def end_open(client: MlflowClient, run: Run) -> None:
    """Mark `run` and what runs below it as killed, if MLflow takes them for running."""
    waiting = [run]
    while waiting:
        current = waiting.pop()
        if current.info.status in ("RUNNING", "SCHEDULED"):
            client.set_terminated(current.info.run_id, "KILLED")
        waiting += runs_below(client, current.info.experiment_id, current.info.run_id)


def runs_below(client: MlflowClient, experiment_id: str, run_id: str) -> list[Run]:
    """The runs whose parent is `run_id`."""
    return list(client.search_runs([experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"))
