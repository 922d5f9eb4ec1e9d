"""Where a run is recorded, and as what."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from gotd_assets.settings.project import Project

# What begins the address of a SQLite database.
SQLITE = "sqlite:///"
_OWN = "/mlflow/mlflow.db"


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

    @staticmethod
    def uri_now(project: Project, recorded: str) -> str:
        """Where what `recorded` named is now: a home keeps its own database when it is moved or copied."""
        if project.settings.tracking.uri is None and recorded.startswith(SQLITE) and recorded.endswith(_OWN):
            return f"{SQLITE}{project.home.mlflow / 'mlflow.db'}"
        return recorded

    @classmethod
    def of(cls, project: Project, *, run_name: str, selection_version: str, tags: Mapping[str, str]) -> Self:
        """Context from the project's settings; by default a SQLite file and a folder below its home."""
        tracking = project.settings.tracking
        folder = project.home.mlflow
        own = tracking.uri is None
        return cls(
            uri=f"{SQLITE}{folder / 'mlflow.db'}" if tracking.uri is None else tracking.uri,
            experiment=tracking.experiment,
            run_name=run_name,
            selection_version=selection_version,
            tags=dict(tags),
            artifact_location=(folder / "artifacts").as_uri() if own else None,
        )
