"""Training runs in MLflow."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gotd_assets.errors import TrainingError
from gotd_assets.storage import write_atomically

if TYPE_CHECKING:
    import polars as pl
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings import Project

_RUN_ID_FILE = "mlflow_run_id"
_SQLITE = "sqlite:///"
_DIGEST_LENGTH = 36  # MLflow's limit
_FLUSH_SECONDS = 2.0
_SYSTEM_METRICS_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class TrackingContext:
    """Where a training run is recorded, and as what.

    Attributes:
        uri: MLflow tracking URI.
        experiment: name of the experiment, made if missing.
        run_name: name of the run.
        selection_version: version of the selection the model is trained on; digest of the run's dataset.
        tags: tags of the run, such as the Dagster run id.
        artifact_location: where a new experiment keeps its files, or None for the server's default.
        model_location: where the model will stand when the training is complete, if the caller moves it.
    """

    uri: str
    experiment: str
    run_name: str
    selection_version: str
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    artifact_location: str | None = None
    model_location: str | None = None

    @classmethod
    def of(cls, project: Project, *, run_name: str, selection_version: str, tags: Mapping[str, str]) -> Self:
        """Context from the project's settings; by default a SQLite file and a folder below its home."""
        tracking = project.settings.tracking
        folder = project.home / "mlflow"
        own = tracking.uri is None
        return cls(
            uri=f"{_SQLITE}{folder / 'mlflow.db'}" if tracking.uri is None else tracking.uri,
            experiment=tracking.experiment,
            run_name=run_name,
            selection_version=selection_version,
            tags=dict(tags),
            artifact_location=(folder / "artifacts").as_uri() if own else None,
        )


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
    from sqlalchemy import make_url

    unfinished = database.with_name(f"{database.name}.unfinished")
    for left in (unfinished, unfinished.with_name(f"{unfinished.name}-journal")):
        left.unlink(missing_ok=True)
    location = artifact_location or (database.parent.absolute() / "artifacts").as_uri()
    place = make_url(uri).set(database=str(unfinished))
    SqlAlchemyStore(place.render_as_string(hide_password=False), location).engine.dispose()
    # A program that does not take our lock, such as the MLflow UI, may have begun meanwhile.
    if database.exists():
        unfinished.unlink()
    else:
        unfinished.rename(database)


def _sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite database; None for other databases and servers."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url

    database = make_url(uri).database
    return None if database in (None, "", ":memory:") else Path(str(database))


def _created_experiment(client: MlflowClient, context: TrackingContext) -> Experiment:
    from mlflow.exceptions import MlflowException

    try:
        client.create_experiment(context.experiment, artifact_location=context.artifact_location)
    except MlflowException as error:
        # A program that does not take our lock, such as the MLflow UI, may have been first.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.get_experiment_by_name(context.experiment)


class TrackedRun:
    """A run in MLflow that is being written. Made by `tracked_run`."""

    def __init__(self, client: MlflowClient, context: TrackingContext, experiment_id: str, run_id: str) -> None:
        self.experiment_id = experiment_id
        self.run_id = run_id
        self._client = client
        self._context = context
        self._logged: dict[str, set[int]] = {}
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Points of curves at `step`; a point that this run has already, perhaps from before a resume, stays as it is."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        for key, value in figures.items():
            logged = self._steps_of(key)
            if step not in logged:
                logged.add(step)
                self._waiting.append(Metric(key, value, now, step))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            # Training goes on while the database is busy: these points go out with the next ones.
            with contextlib.suppress(Exception):
                self.flush()

    def flush(self) -> None:
        """Send what waits."""
        self._flushed = time.monotonic()
        while self._waiting:
            part = self._waiting[:1000]
            self._client.log_batch(self.run_id, metrics=part, synchronous=True)
            del self._waiting[: len(part)]

    def log_dataset(self, documents: pl.DataFrame, source: Path, name: str) -> None:
        """The selection as the run's training dataset; its digest is the selection's version."""
        import mlflow.data
        from mlflow.entities import DatasetInput, InputTag

        with warnings.catch_warnings():
            # MLflow knows two classes for a local path and says so each time; either names the path.
            warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
            dataset = mlflow.data.from_polars(
                documents, source=str(source), name=name, digest=self._context.selection_version[:_DIGEST_LENGTH]
            )
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset._to_mlflow_entity(), [tag])])

    def log_model(self, location: Path, tags: Mapping[str, str]) -> None:
        """Register the model with the run by reference.

        The weights are hundreds of megabytes and stand in an artifact of their own, with checksums; MLflow gets a
        logged model marked external, whose tags say where the safetensors are and what their SHA-256 is.
        """
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        where = self._context.model_location or str(location)
        model = self._client.create_logged_model(
            self.experiment_id,
            name="pre_fine_tuned_model",
            source_run_id=self.run_id,
            tags={"mlflow.model.isExternal": "true", "gotd.model_path": where, **tags},
            model_type="transformers",
        )
        self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])
        self.tag({"gotd.model_path": where, **tags})

    def log_report(self, report: Mapping[str, Json]) -> None:
        """Keep `training.json` with the run."""
        self._client.log_dict(self.run_id, dict(report), "training.json")

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, value)

    def _steps_of(self, key: str) -> set[int]:
        if key not in self._logged:
            self._logged[key] = {metric.step for metric in self._client.get_metric_history(self.run_id, key)}
        return self._logged[key]


@contextlib.contextmanager
def tracked_run(context: TrackingContext, scratch: Path, parameters: Mapping[str, object]) -> Iterator[TrackedRun]:
    """A run in MLflow, with system metrics, for as long as the block takes.

    It ends FINISHED, FAILED after an error, or KILLED after an interruption. Its id is kept in `scratch`, so that a
    training that was killed and started again continues the same run.

    Raises:
        TrainingError: MLflow cannot be used (see `prepare_tracking`).
    """
    experiment_id = prepare_tracking(context)
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    with tracking_failures_told(context.uri):
        client = tracking_client(context.uri)
        run_id = _interrupted_run(client, scratch)
        resumed = run_id is not None
        if run_id is None:
            run_id = _new_run(client, context, experiment_id, parameters)
            write_atomically(scratch / _RUN_ID_FILE, run_id)
        else:
            client.update_run(run_id, status="RUNNING")
            client.set_tag(run_id, "gotd.resumed", "true")
            if "gotd.error" in client.get_run(run_id).data.tags:
                client.delete_tag(run_id, "gotd.error")
        run = TrackedRun(client, context, experiment_id, run_id)
        monitor = SystemMetricsMonitor(
            run_id, sampling_interval=_SYSTEM_METRICS_SECONDS, resume_logging=resumed, tracking_uri=context.uri
        )
        monitor.start()
        status = "FAILED"
        try:
            yield run
            run.flush()
            status = "FINISHED"
        except Exception as error:
            # A server that does not answer must not hide what went wrong.
            with contextlib.suppress(Exception):
                client.set_tag(run_id, "gotd.error", f"{type(error).__name__}: {error}"[:5000])
            raise
        except BaseException:
            status = "KILLED"
            raise
        finally:
            monitor.finish()
            if status != "FINISHED":
                with contextlib.suppress(Exception):
                    run.flush()
                with contextlib.suppress(Exception):
                    client.set_terminated(run_id, status)
            else:
                client.set_terminated(run_id, status)


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
        return _log_below(tracking_client(context.uri), context, experiment_id, parent, run)


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


def recorded_run(uri: str, run_id: str) -> dict[str, str] | None:
    """What MLflow says of run `run_id`: mlflow_run_id, selection_version, status. None if it has no such run.

    Raises:
        TrainingError: the tracking server or database cannot be used.
    """
    from mlflow.exceptions import MlflowException

    with tracking_failures_told(uri):
        try:
            run = tracking_client(uri).get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
    if run.info.lifecycle_stage == "deleted":
        return None
    return {
        "mlflow_run_id": run.info.run_id,
        "selection_version": run.data.tags.get("gotd.selection_version", ""),
        "status": run.info.status,
    }


def _unusable(uri: str, error: BaseException) -> TrainingError:
    return TrainingError(
        f"tracking.uri {uri!r} cannot be used: {error}. Start the tracking server, or correct tracking.uri, and "
        "materialise the model again: the training goes on from its last checkpoint"
    )


def _new_run(
    client: MlflowClient, context: TrackingContext, experiment_id: str, parameters: Mapping[str, object]
) -> str:
    from mlflow.entities import Param

    run = client.create_run(experiment_id, tags=dict(context.tags), run_name=context.run_name)
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in parameters.items()])
    return str(run.info.run_id)


def _interrupted_run(client: MlflowClient, scratch: Path) -> str | None:
    """Id of the run that a killed training left in `scratch`, if MLflow still has it."""
    from mlflow.exceptions import MlflowException

    try:
        run_id = (scratch / _RUN_ID_FILE).read_text(encoding="utf-8").strip()
        run = client.get_run(run_id)
    except (FileNotFoundError, MlflowException):
        return None
    return run_id if run.info.lifecycle_stage == "active" else None


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
    with database.with_name(f"{database.name}.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
