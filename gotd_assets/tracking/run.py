"""Training runs in MLflow."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.artifacts.scratch import TRACKING_RUN
from gotd_assets.fingerprint import fingerprint
from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.registry import put
from gotd_assets.tracking.server import is_missing, prepare_tracking, tracking_client, tracking_failures_told

if TYPE_CHECKING:
    import polars as pl
    from mlflow import MlflowClient

    from gotd_assets.fingerprint import Json


_ATTEMPT = "gotd.attempt"  # tag: what the run is an attempt at
_BASE = "gotd.base_of_trainings"  # tag of a model: version of the base that it is
_BASE_NOTE = "Before any training: what the other models start from."
DIGEST_LENGTH = 36  # MLflow's limit
_FLUSH_SECONDS = 2.0
_SYSTEM_METRICS_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a figure is of: a model, on a dataset.

    Attributes:
        model_id: of a model in MLflow.
        dataset, digest: name and fingerprint of the dataset.
    """

    model_id: str
    dataset: str
    digest: str


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
        # Whoever stops the run interrupts its main thread: in the middle of a transaction that would leave the database locked.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="tracking")

    def log(self, step: int, figures: Mapping[str, float], of: Measured | None = None) -> None:
        """Points of curves at `step`; a point that this run has already, perhaps from before a resume, stays as it is.

        With `of` the figures are the model's too, so that MLflow's table of models can be sorted by them.
        """
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        belongs = (
            {} if of is None else {"model_id": of.model_id, "dataset_name": of.dataset, "dataset_digest": of.digest}
        )
        for key, value in figures.items():
            logged = self._steps_of(key)
            if step not in logged:
                logged.add(step)
                self._waiting.append(Metric(key, value, now, step, run_id=self.run_id, **belongs))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            # Training goes on while the database is busy: these points go out with the next ones.
            with contextlib.suppress(Exception):
                self.flush()

    def flush(self) -> None:
        """Send what waits."""
        self._flushed = time.monotonic()
        self._sender.submit(self._send).result()

    def _send(self) -> None:
        while self._waiting:
            part = self._waiting[:1000]
            self._client.log_batch(self.run_id, metrics=part, synchronous=True)
            del self._waiting[: len(part)]

    def log_dataset(
        self, documents: pl.DataFrame, source: Path, name: str, digest: str, purpose: Literal["training", "evaluation"]
    ) -> None:
        """What the run trains or measures on; of a selection the digest is its version."""
        import mlflow.data
        from mlflow.entities import DatasetInput, InputTag

        with warnings.catch_warnings():
            # MLflow knows two classes for a local path and says so each time; either names the path.
            warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
            dataset = mlflow.data.from_polars(documents, source=str(source), name=name, digest=digest[:DIGEST_LENGTH])
        tag = InputTag("mlflow.data.context", purpose)
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset._to_mlflow_entity(), [tag])])

    def log_base(self, name: str, version: str) -> str:
        """The model that trainings start from as a row of its own, the same for all of them; returns its id."""
        found = self._client.search_logged_models(
            [self.experiment_id], filter_string=f"tags.`{_BASE}` = '{version}'", max_results=1
        )
        if found:
            return str(found[0].model_id)
        return self._create_model(
            f"{_fit(name)}-base",
            {"base_model": name, "method": "none"},
            {_BASE: version, "mlflow.note.content": _BASE_NOTE},
        )

    def log_model(self, location: Path, tags: Mapping[str, str]) -> str:
        """Register the model with the run by reference; returns its id.

        The weights are hundreds of megabytes and stand in an artifact of their own, with checksums; MLflow gets a
        logged model marked external, whose tags say where the safetensors are and what their SHA-256 is.
        """
        from mlflow.entities import LoggedModelOutput

        context = self._context
        facts = {"gotd.model_path": context.model_location or str(location), **tags}
        note = {key: value for key, value in context.tags.items() if key == "mlflow.note.content"}
        model_id = self._create_model(
            context.model_name, context.model_parameters, {**facts, **note}, source_run_id=self.run_id
        )
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step=0)])
        self.tag(facts)
        return model_id

    def _create_model(
        self, name: str, parameters: Mapping[str, object], tags: Mapping[str, str], source_run_id: str | None = None
    ) -> str:
        from mlflow.entities import LoggedModelStatus

        model = self._client.create_logged_model(
            self.experiment_id,
            name=name,
            source_run_id=source_run_id,
            tags={"mlflow.model.isExternal": "true", **tags},
            params={key: str(value) for key, value in parameters.items()},
            model_type="transformers",
        )
        self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return str(model.model_id)

    def register(self, of: Measured, location: Path, perplexity: float) -> None:
        """Put the model into the registry, if the settings name one; the best has the alias."""
        if self._context.registered_model is not None:
            put(
                self._client,
                self._context,
                run_id=self.run_id,
                model_id=of.model_id,
                location=location,
                perplexity=perplexity,
                digest=of.digest,
            )

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
    from mlflow.entities import Param
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    with tracking_failures_told(context.uri):
        client = tracking_client(context.uri)
        # Its folder is named by the version of what is trained.
        attempt = fingerprint([scratch.name, context.selection_version])
        run_id = _interrupted_run(client, experiment_id, attempt, scratch)
        resumed = run_id is not None
        if run_id is None:
            tags = {**context.tags, _ATTEMPT: attempt}
            run_id = str(client.create_run(experiment_id, tags=tags, run_name=context.run_name).info.run_id)
            write_atomically(scratch / TRACKING_RUN, run_id)
        else:
            client.update_run(run_id, status="RUNNING")
            client.set_tag(run_id, "gotd.resumed", "true")
            if "gotd.error" in client.get_run(run_id).data.tags:
                client.delete_tag(run_id, "gotd.error")
        logged = client.get_run(run_id).data.params if resumed else {}
        missing = [Param(key, str(value)) for key, value in parameters.items() if key not in logged]
        client.log_batch(run_id, params=missing)
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


def recorded_run(uri: str, run_id: str) -> dict[str, str] | None:
    """What MLflow says of run `run_id`: mlflow_run_id, selection_version, status. None if it has no such run.

    Raises:
        TrainingError: the tracking server or database cannot be used.
    """
    from mlflow.exceptions import MlflowException

    if is_missing(uri):
        return None
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


def _interrupted_run(client: MlflowClient, experiment_id: str, attempt: str, scratch: Path) -> str | None:
    """Id of the run that a killed training left in `scratch`, if MLflow still has it."""
    from mlflow.exceptions import MlflowException

    try:
        run_id = (scratch / TRACKING_RUN).read_text(encoding="utf-8").strip()
        run = client.get_run(run_id)
    except FileNotFoundError:
        # Killed between the run's beginning and the writing of its id.
        begun = client.search_runs(
            [experiment_id], f"tags.`{_ATTEMPT}` = '{attempt}' and attributes.status = 'RUNNING'", max_results=1
        )
        return str(begun[0].info.run_id) if begun else None
    except MlflowException:
        return None
    return run_id if run.info.lifecycle_stage == "active" else None


def _fit(model: str) -> str:
    """The last part of a model's folder, file or hub id, without characters that MLflow's names may not have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", model.rstrip("/").rpartition("/")[2]).strip("-") or "model"
