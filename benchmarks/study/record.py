"""What the study found out, in MLflow: a run for the study, below it one per cell, below these one per seed.

A finished measurement is one run with everything in it, written at its end: what was killed half-way is not there, and
is done again. Nothing is kept anywhere else.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gotd_assets.tracking.context import TrackingContext
from gotd_assets.tracking.server import prepare_tracking, tracking_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from gotd_assets.fingerprint import Json

Kind: TypeAlias = Literal["study", "cell", "base", "selection", "perplexity"]

_PAGE = 1000
_KEY, _KIND = "gotd.study.key", "gotd.study.kind"
_PARENT = "mlflow.parentRunId"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One finished measurement.

    Attributes:
        key: identifies it among all of its kind.
        run_id: MLflow's.
        parameters: what was measured, as text.
        figures: what came out.
    """

    key: str
    run_id: str
    parameters: Mapping[str, str]
    figures: Mapping[str, float]


class StudyRecord:
    """The MLflow experiment of one study."""

    def __init__(self, context: TrackingContext) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        self._experiment = prepare_tracking(context)
        self._client: MlflowClient = tracking_client(context.uri)
        self._parents: dict[str, str] = {}

    def begin(self, plan: Mapping[str, Json]) -> str:
        """The study's own run, found or made; `plan` is kept with it."""
        run_id = self._parent("study", "study", None, {})
        self._client.update_run(run_id, status="RUNNING")
        self._client.log_dict(run_id, dict(plan), "plan.json")
        return run_id

    def end(self, *, complete: bool) -> None:
        """Say of the study and its cells whether everything was measured."""
        for run in [*self._runs("cell"), *self._runs("study")]:
            self._client.set_terminated(run.info.run_id, "FINISHED" if complete else "KILLED")

    def done(self, kind: Kind) -> set[str]:
        """Keys of the finished measurements of `kind`."""
        return {run.data.tags[_KEY] for run in self._runs(kind) if run.info.status == "FINISHED"}

    def write(
        self,
        kind: Kind,
        key: str,
        *,
        cell: Mapping[str, Json],
        own: Mapping[str, Json],
        figures: Mapping[str, float],
        files: Mapping[str, Json],
        seconds: float,
    ) -> str:
        """Record one measurement that took `seconds`; return its run's id.

        Args:
            kind: what sort.
            key: identifies it among all of its kind.
            cell: what it shares with others: target, method, budget; the run's parent is made of these.
            own: what it has for itself: seed, regime.
            figures: results.
            files: larger results, as JSON, by name.
            seconds: how long it took.
        """
        from mlflow.entities import Metric, Param

        now = time.time_ns() // 1_000_000
        name = " · ".join(str(value) for value in cell.values())
        parent = self._parent("cell", name, self._parents["study"], cell)
        tags = {_KIND: kind, _KEY: key, _PARENT: parent}
        title = " · ".join([kind, *(f"{field} {value}" for field, value in own.items())])
        run = self._client.create_run(self._experiment, now - round(seconds * 1000), tags, title)
        parameters = [Param(field, str(value)) for field, value in {**cell, **own}.items()]
        metrics = [Metric(field, float(value), now, 0) for field, value in figures.items()]
        self._client.log_batch(run.info.run_id, metrics, parameters)
        for file, content in files.items():
            self._client.log_dict(run.info.run_id, content, f"{file}.json")
        self._client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id)

    def measurements(self, kind: Kind) -> list[Measurement]:
        """All finished measurements of `kind`, one per key, in the order they were made."""
        found = {}
        for run in self._runs(kind):
            if run.info.status == "FINISHED":
                key = run.data.tags[_KEY]
                found[key] = Measurement(key, run.info.run_id, run.data.params, run.data.metrics)
        return list(found.values())

    def plan(self) -> Mapping[str, Any] | None:
        """The plan that `begin` was given last, None before."""
        for run in self._runs("study"):
            content: Mapping[str, Any] = self.read(run.info.run_id, "plan")
            return content
        return None

    def read(self, run_id: str, file: str) -> Any:
        """The JSON file that `write` kept as `file`."""
        path = self._client.download_artifacts(run_id, f"{file}.json")
        return json.loads(Path(path).read_text(encoding="utf-8"))

    def _parent(self, kind: Kind, name: str, above: str | None, parameters: Mapping[str, Json]) -> str:
        if not self._parents:
            for known in ("study", "cell"):
                for run in self._runs(known):
                    self._parents[run.data.tags[_KEY]] = run.info.run_id
        if name not in self._parents:
            from mlflow.entities import Param

            tags = {_KIND: kind, _KEY: name} | ({} if above is None else {_PARENT: above})
            run = self._client.create_run(self._experiment, tags=tags, run_name=name)
            self._client.log_batch(
                run.info.run_id, params=[Param(field, str(value)) for field, value in parameters.items()]
            )
            self._parents[name] = run.info.run_id
        return self._parents[name]

    def _runs(self, kind: str) -> Sequence[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{_KIND}` = '{kind}'",
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                return found
