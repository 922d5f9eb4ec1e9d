"""MLflow's server or database: set up once, and its failures in sentences."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.artifacts.atomic import file_made, sweep
from gotd_assets.artifacts.lock import held
from gotd_assets.errors import TrainingError
from gotd_assets.tracking.context import TrackingContext

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


def prepare_tracking(context: TrackingContext) -> str:
    """Set up MLflow's database and the experiment, if they are not there yet; return the experiment's id.

    Safe among processes and against being killed: on SQLite, where concurrent first migrations break one another and an
    interrupted one cannot be taken up again, one process at a time makes the database under a temporary name.

    Raises:
        TrainingError: the tracking server or database cannot be used, or the experiment was deleted.
    """
    with _alone(context.uri), tracking_failures_told(context.uri):
        _make_database(context.uri, context.artifact_location)
        client = tracking_client(context.uri)
        found = client.get_experiment_by_name(context.experiment)
        if found is None:
            found = _created_experiment(client, context)
        elif context.artifact_location is not None and context.artifact_location != found.artifact_location:
            _follow(context.uri, found, context.artifact_location)
    if found.lifecycle_stage == "deleted":
        raise TrainingError(
            f"the MLflow experiment {context.experiment!r} was deleted: restore it with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or set tracking.experiment to another name"
        )
    return str(found.experiment_id)


def _make_database(uri: str, artifact_location: str | None) -> None:
    """Make the MLflow database at `uri`, all of it or nothing, if it is SQLite's and there is none."""
    database = _sqlite_file(uri)
    if database is None or database.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    location = artifact_location or (database.parent.absolute() / "artifacts").as_uri()
    sweep(database.parent)
    # A program that does not take our lock, such as the MLflow UI, may be first.
    with file_made(database) as partial:
        # Plain: MLflow takes an address apart by itself, and would make folders of encoded names.
        SqlAlchemyStore(f"{uri.partition('///')[0]}///{partial}", location).engine.dispose()


def _sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite database; None for other databases and servers."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url

    database = make_url(uri).database
    return None if database in (None, "", ":memory:") else Path(str(database))


def is_missing(uri: str) -> bool:
    """Whether `uri` names a SQLite file that does not exist; MLflow would make it, empty."""
    database = _sqlite_file(uri)
    return database is not None and not database.exists()


def _created_experiment(client: MlflowClient, context: TrackingContext) -> Experiment:
    from mlflow.exceptions import MlflowException

    try:
        client.create_experiment(context.experiment, artifact_location=context.artifact_location)
    except MlflowException as error:
        # A program that does not take our lock, such as the MLflow UI, may have been first.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.get_experiment_by_name(context.experiment)


def _follow(uri: str, experiment: Experiment, location: str) -> None:
    """Let an experiment's files be found where they are, after the project's folder was moved or copied.

    MLflow keeps addresses whole and has no call to change them. Only of the project's own database, on SQLite.
    """
    former = experiment.artifact_location
    with contextlib.closing(sqlite3.connect(str(_sqlite_file(uri)))) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (location, int(experiment.experiment_id)),
        )
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, length(?) + 1) "
            "WHERE experiment_id = ? AND substr(artifact_uri, 1, length(?)) = ?",
            (location, former, int(experiment.experiment_id), f"{former}/", f"{former}/"),
        )


@contextlib.contextmanager
def tracking_failures_told(uri: str) -> Iterator[None]:
    """Turn what MLflow and the database below it raise into a sentence for people.

    Raises:
        TrainingError: the tracking server or database failed in the block.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        raise _unusable(uri, error) from error
    except SQLAlchemyError as error:
        # Its own text adds the statement to what the database said.
        raise _unusable(uri, getattr(error, "orig", None) or error) from error


def _unusable(uri: str, error: BaseException) -> TrainingError:
    return TrainingError(
        f"tracking.uri {uri!r} cannot be used: {error}. Start the tracking server, or correct tracking.uri, and "
        "materialise the model again: the training goes on from its last checkpoint",
        # What a server's name or a database's file is does not change by itself.
        may_pass=uri.startswith("http") or "locked" in str(error),
    )


def tracking_client(uri: str) -> MlflowClient:
    """MLflow's client for the server or database at `uri`, with telemetry off.

    Raises:
        TrainingError: it cannot be used, or its driver is not installed.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    with tracking_failures_told(uri):
        try:
            return MlflowClient(tracking_uri=uri)
        except ModuleNotFoundError as error:
            raise TrainingError(
                f"tracking.uri {uri!r} needs the module {error.name!r}, which is not installed: install it beside "
                "gotd-assets, or correct tracking.uri"
            ) from error


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Hold the lock beside a SQLite database; other databases lock for themselves."""
    database = _sqlite_file(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with held(database.with_name(f"{database.name}.lock")):
        yield
