"""Where a run is recorded, and as what."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
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
        model_name: name of the model, and of the dataset that it is trained on.
        model_parameters: what shaped it, to compare models by.
        heldout_name: name of the dataset that it is measured on.
        registered_model: name in the model registry for models better than their base, None for none.
        alias: that the best of them has there.
        artifact_location: where a new experiment keeps its files, or None for the server's default.
        model_location: where the model will stand when the training is complete, if the caller moves it.
    """

    uri: str
    experiment: str
    run_name: str
    selection_version: str
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    model_name: str = "pre_fine_tuned_model"
    model_parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)
    heldout_name: str = "heldout"
    registered_model: str | None = None
    alias: str = "best"
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
            tags={**_source(project.root), **tags},
            registered_model=tracking.registered_model,
            artifact_location=(folder / "artifacts").as_uri() if own else None,
        )


def _source(root: Path) -> dict[str, str]:
    """What MLflow shows in its column Source: this package, and the commit of the project's folder if it has one."""
    found = {"mlflow.source.name": f"gotd-assets {version('gotd-assets')}", "mlflow.source.type": "PROJECT"}
    try:
        git = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--verify", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return found
    return {**found, "mlflow.source.git.commit": git.stdout.strip()}
