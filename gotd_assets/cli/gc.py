"""`gotd gc`: what can be removed from disk."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from gotd_assets.artifacts.leases import in_use
from gotd_assets.artifacts.lock import BusyError, held
from gotd_assets.artifacts.retention import size_of, unreferenced
from gotd_assets.artifacts.scratch import Abandoned, abandoned
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError
from gotd_assets.settings.project import Project
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.attempts import end_attempts

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact


def collect(project: Project, *, delete: bool, older_than: float, console: Console) -> None:
    """Show what nothing needs and is older than so many days; with `delete`, remove it.

    Runs may be going on: what they use, and will read, stays.

    Raises:
        ArtifactError: another gc is working.
    """
    store = ArtifactStore.of(project)
    store.root.mkdir(parents=True, exist_ok=True)
    age = dt.timedelta(days=older_than)
    try:
        with held(project.home.gc_lock, timeout_seconds=0):
            runs = _runs_in_progress(project) | store.asides()
            kept = {station.name for station in GRAPH.stations if station.is_kept}
            with in_use(store.root) as used:
                found = unreferenced(store, older_than=age, kept=kept, used=used, runs=runs)
                left = abandoned(project.home.scratch, older_than=age, used=used)
                if delete:
                    for artifact in found:
                        store.remove(artifact)
                    store.forget_runs(runs, time.time() - age.total_seconds())
            if delete:
                end_attempts(project, left)
                store.sweep()
                if store.storage is not None:
                    store.storage.sweep(age)
    except BusyError as error:
        raise ArtifactError(f"another `gotd gc` is working in {project.home.path}: wait for it") from error
    _tell(found, left, console, deleted=delete)


def _runs_in_progress(project: Project) -> set[str]:
    """Dagster runs that have not ended, those that wait included."""
    import dagster as dg

    from gotd_assets.pipeline.instance import dagster_instance

    ended = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    going = dg.RunsFilter(statuses=[status for status in dg.DagsterRunStatus if status not in ended])
    with dagster_instance(project) as instance:
        return {run.run_id for run in instance.get_runs(filters=going)}


def _tell(found: list[Artifact], left: list[Abandoned], console: Console, *, deleted: bool) -> None:
    table = Table("artifact", "version", "made", "MB", box=None)
    for artifact in found:
        made = artifact.manifest.created_at[:16].replace("T", " ")
        table.add_row(str(artifact.key), artifact.version, made, f"{size_of(artifact) / 1e6:,.1f}")
    if found:
        console.print(table)
    total = f"{len(found)} artifacts, {sum(map(size_of, found)) / 1e6:,.1f} MB"
    if left:
        total += f", and {len(left)} unfinished attempts, {sum(attempt.size for attempt in left) / 1e6:,.1f} MB"
    hint = "; gotd gc --delete removes them" if found or left else ""
    console.print(f"removed {total}" if deleted else f"{total} that nothing needs{hint}")
