"""Runs that another run or a command starts in its own process, on record as if they had been launched one by one.

They stand on the timeline of their code location, name the run that started them, and can be executed again from the UI.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run
from dagster._core.execution.job_execution_result import JobExecutionResult
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster._core.workspace.load_target import WorkspaceFileTarget

from gotd_assets.pipeline import tags


@dataclasses.dataclass(frozen=True)
class Starter:
    """Who starts runs.

    Attributes:
        name: of a job or a command, as a tag of the runs.
        repository: the code location's, under which the UI shows them; None if it is not known.
        parent: the run in whose step they run.
    """

    name: str
    repository: RemoteRepositoryOrigin | None = None
    parent: dg.DagsterRun | None = None

    @classmethod
    def of_run(cls, run: dg.DagsterRun) -> Self:
        """A run of a job over several partitions."""
        origin = run.remote_job_origin
        return cls(run.job_name, None if origin is None else origin.repository_origin, run)

    @classmethod
    def of_command(cls, name: str, workspace: Path) -> Self:
        """A command, in a project whose UI loads the first code location of the file `workspace`."""
        origins = WorkspaceFileTarget([str(workspace)]).create_origins() if workspace.is_file() else []
        return cls(name, RemoteRepositoryOrigin(origins[0], SINGLETON_REPOSITORY_NAME) if origins else None)

    def run(
        self,
        job: dg.JobDefinition,
        instance: dg.DagsterInstance,
        *,
        partition_key: str | None,
        assets: Sequence[dg.AssetKey],
        run_config: Mapping[str, object],
        run_tags: Mapping[str, str],
    ) -> JobExecutionResult:
        """Run `assets` of `job` in this process."""
        selected = frozenset(assets)
        here = job.as_ephemeral_job(resource_defs={}, input_values={}, asset_selection=assets)
        partition = (
            {} if partition_key is None else job.get_tags_for_partition_key(partition_key, selected_asset_keys=selected)
        )
        run = instance.create_run_for_job(
            here,
            run_config=run_config,
            # Whoever started it goes on from what a kill left; Dagster beside it would do the work twice.
            tags={**here.run_tags, **partition, **run_tags, tags.LAUNCHER: self.name, MAX_RETRIES_TAG: "0"},
            asset_selection=selected,
            remote_job_origin=None if self.repository is None else self.repository.get_job_origin(here.name),
            parent_run_id=None if self.parent is None else self.parent.run_id,
            root_run_id=None if self.parent is None else self.parent.root_run_id or self.parent.run_id,
        )
        return execute_run(InMemoryJob(here), run, instance)
