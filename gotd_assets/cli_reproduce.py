"""`gotd reproduce`: make a recorded selection again in a home of its own and compare it byte for byte."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gotd_assets.cli_project import settings_file_here
from gotd_assets.cli_run import project_job
from gotd_assets.errors import GotdError
from gotd_assets.reproduction import (
    Difference,
    Recorded,
    check_source_files,
    differences,
    first_difference,
    reuse,
    seed_start,
)
from gotd_assets.settings import SETTINGS_FILE_VARIABLE, Project
from gotd_assets.storage import ArtifactKey, ArtifactStore

if TYPE_CHECKING:
    from gotd_assets.defs.stages import Stage
    from gotd_assets.lineage import LineageStore

# Hours of encoding; made again only on demand.
_EMBEDDINGS = ("candidate_embeddings", "target_embeddings")
# What the launchpad can override, by asset.
_OVERRIDES = {"ot_potentials": ("epsilon", "tolerance"), "selected_subset": ("budget", "seed")}


def reproduce(
    project: Project, version: str, console: Console, *, everything: bool, keep: Path | None, settings: Path | None
) -> bool:
    """Make the selection `version` again from the user's files and compare; whether it came out byte for byte.

    Verified embeddings of the live project are reused unless `everything`. Nothing of the live project is written.
    `keep` is a folder to leave the rebuilt home in; `settings` another gotd.yaml, whose folder holds the user's files.

    Raises:
        GotdError: it is not in the record, a file it was made from changed, or a station failed.
    """
    from gotd_assets.defs.station import installed_packages
    from gotd_assets.lineage import LineageStore

    lineage = LineageStore(project.home / "lineage.duckdb")
    record = [Recorded.of(row) for row in lineage.reproduction_record(version)]
    selection = record[-1]
    path = settings_file_here() if settings is None else settings.absolute()
    check_source_files(record, path.parent)
    for package, before, now in _changed_packages(selection.packages, installed_packages()):
        console.print(f"[yellow]note:[/] {package} was {before}, now {now}", highlight=False)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise GotdError(f"{keep} is not empty: give a new folder to keep the rebuilt home in")
    parent = project.home / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="reproduce-", dir=parent)) if keep is None else keep.absolute()
    try:
        return _rebuild(project, path, lineage, record, home, console, everything=everything)
    finally:
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)


def _rebuild(  # noqa: PLR0917
    project: Project,
    settings: Path,
    lineage: LineageStore,
    record: Sequence[Recorded],
    home: Path,
    console: Console,
    *,
    everything: bool,
) -> bool:
    live, scratch = ArtifactStore(project.home / "artifacts"), ArtifactStore(home / "artifacts")
    # What was forgotten is part of what a pool was made of.
    home.mkdir(parents=True, exist_ok=True)
    lineage.backup(home / "lineage.duckdb")
    notes = []
    for made in record:
        if made.key.asset in _EMBEDDINGS and not everything and reuse(made, live, scratch):
            console.print(f"  {made.key}: verified and reused", highlight=False, markup=False)
        if made.key.asset == "ot_potentials" and (note := seed_start(made, live, scratch)):
            notes.append(note)
    _make(settings, record, home, console)
    selection = record[-1]
    found = differences(record, scratch, exact=(selection.key.asset,))
    if not found:
        files = sum(size for size, _ in selection.files.values())
        console.print(
            f"[green]reproduced[/] {selection.key} version {selection.version}: {len(selection.files)} files, "
            f"{files:,} bytes, all equal to the record".replace("selected_subset[", r"selected_subset\["),
            highlight=False,
        )
        return True
    _report(found, notes, selection, live, scratch, console)
    return False


def _make(settings: Path, record: Sequence[Recorded], home: Path, console: Console) -> None:
    """Run the stages of the record in `home`."""
    import dagster as dg

    from gotd_assets.defs.placement import Placement
    from gotd_assets.defs.stages import run_stages

    os.environ |= {"GOTD_HOME": str(home), SETTINGS_FILE_VARIABLE: str(settings)}
    os.chdir(settings.parent)
    placement = Placement.of_file(settings)
    stages = list(_stages(placement.declared, record))
    with dg.DagsterInstance.ephemeral() as instance:
        run_stages(
            placement,
            project_job(placement, console),
            instance,
            stages,
            announce=lambda number, stage: console.rule(f"[bold]{number}/{len(stages)}[/] {stage.title}", align="left"),
            warn=lambda problem: console.print(f"[yellow]warning:[/] {problem}", highlight=False),
        )


def _stages(project: Project, record: Sequence[Recorded]) -> Iterator[Stage]:
    """Those that lead to the selection, which is the last, configured as recorded."""
    from gotd_assets.defs.stages import Stage, candidate_stages, target_stages

    selection = record[-1].key
    if selection.partition is None:
        raise RuntimeError("selections are partitioned")
    target, method = selection.partition.split("/")
    yield from candidate_stages(project.settings)
    for stage in target_stages(project.settings, [target]):
        if "ot_potentials" in stage.assets:
            yield dataclasses.replace(stage, config=_config(stage, record))
    title, partition = f"target {target}: select by {method}", {"target": target, "method": method}
    stage = Stage(title, (selection.asset,), partition, target)
    yield dataclasses.replace(stage, config=_config(stage, record))


def _config(stage: Stage, record: Sequence[Recorded]) -> dict[str, dict[str, object]]:
    recorded = {made.key: made.parameters for made in record}
    found: dict[str, dict[str, object]] = {}
    for asset, names in _OVERRIDES.items():
        parameters = recorded.get(ArtifactKey(asset, stage.artifact_partition))
        if asset in stage.assets and parameters is not None:
            found[asset] = {name: parameters[name] for name in names}
    if selection := found.get("selected_subset"):
        # Text in the launchpad, a whole number in the record where it counts documents.
        selection["budget"] = str(selection["budget"])
    return found


def _report(  # noqa: PLR0917
    found: Sequence[Difference],
    notes: Sequence[str],
    selection: Recorded,
    live: ArtifactStore,
    scratch: ArtifactStore,
    console: Console,
) -> None:
    console.print(f"[bold red]not reproduced[/]: version {selection.version} came out differently", highlight=False)
    for difference in found:
        console.print(f"  {difference.artifact}: {difference.sentence}", highlight=False, markup=False, soft_wrap=True)
    rebuilt, recorded = scratch.current(selection.key), live.find(selection.key, selection.version)
    if recorded is not None:
        where = first_difference(recorded.file("subset.parquet"), rebuilt.file("subset.parquet"))
        console.print(f"  subset.parquet: {where or 'the same table'}", highlight=False, markup=False, soft_wrap=True)
    for note in notes:
        console.print(f"  {note}", highlight=False, markup=False, soft_wrap=True)


def _changed_packages(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for package in sorted(before.keys() | now.keys()):
        if before.get(package) != now.get(package):
            yield package, before.get(package, "absent"), now.get(package, "absent")
