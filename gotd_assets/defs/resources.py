"""What assets get by type annotation."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from gotd_assets.lineage import LineageStore
from gotd_assets.settings import Project, load_project
from gotd_assets.storage import ArtifactStore


class ProjectResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The project: its settings, its artifacts and its lineage."""

    settings_file: str = Field(description="Absolute path of gotd.yaml.")
    plan: str = Field(default="", description="File that a dry run writes its plan to; empty: make things.")

    def load(self) -> Project:
        """Settings and the folder they are relative to."""
        return load_project(Path(self.settings_file))

    def artifacts(self) -> ArtifactStore:
        """The artifact store in the project's home."""
        return ArtifactStore(self.load().home / "artifacts")

    def lineage(self) -> LineageStore:
        """The lineage store in the project's home."""
        return LineageStore(self.load().home / "lineage.duckdb")
