"""`gotd reproduce`: make a recorded selection again in a home of its own and compare it byte for byte."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gotd_assets.cli_run import project_job
from gotd_assets.conditions import TORCH_THREADS, current_conditions, installed_packages
from gotd_assets.errors import GotdError
from gotd_assets.recorded_settings import recorded_settings
from gotd_assets.reproduction import (
    Difference,
    Recorded,
    changed_surroundings,
    check_source_files,
    differences,
    first_difference,
    reuse,
    seed_start,
)
from gotd_assets.settings import Project
from gotd_assets.storage import ArtifactKey, ArtifactStore

if TYPE_CHECKING:
    from gotd_assets.defs.stages import Stage
    from gotd_assets.lineage import LineageStore

# Hours of encoding; made again only on demand.
_EMBEDDINGS = ("tuned_encoder", "candidate_embeddings", "target_embeddings")
# What the launchpad can override, by asset.
_OVERRIDES = {"ot_potentials": ("epsilon", "tolerance"), "selected_subset": ("budget", "seed")}


def reproduce(
    project: Project, version: str, console: Console, *, everything: bool, keep: Path | None, files: Path | None
) -> bool:
    """Make the selection `version` again from the user's files and compare; whether it came out byte for byte.

    Settings and number of threads are those of the record. Verified embeddings of the live project are reused unless
    `everything`. Nothing of the live project is written.

    Args:
        project: whose lineage has the record.
        version: of the selection, or its first 8 or more characters.
        console: to tell of progress and outcome.
        everything: embed again, too.
        keep: folder to leave the rebuilt home in.
        files: folder that the user's files stand in as they did; by default the project's own.

    Raises:
        GotdError: it is not in the record, a file it was made from changed, or a station failed.
    """
    from gotd_assets.lineage import LineageStore

    lineage = LineageStore(project.home / "lineage.duckdb")
    record = [Recorded.of(row) for row in lineage.reproduction_record(version)]
    root = project.root if files is None else files.absolute()
    check_source_files(record, root)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise GotdError(f"{keep} is not empty: give a new folder to keep the rebuilt home in")
    parent = project.home / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="reproduce-", dir=parent)) if keep is None else keep.absolute()
    try:
        rebuilt = Project(root=root, settings=recorded_settings(record, project.settings, root, home))
        return _rebuild(project, rebuilt, lineage, record, console, everything=everything)
    finally:
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)


def _rebuild(
    project: Project,
    rebuilt: Project,
    lineage: LineageStore,
    record: Sequence[Recorded],
    console: Console,
    *,
    everything: bool,
) -> bool:
    live, scratch = ArtifactStore(project.home / "artifacts"), ArtifactStore(rebuilt.home / "artifacts")
    # What was forgotten is part of what a pool was made of.
    rebuilt.home.mkdir(parents=True, exist_ok=True)
    lineage.backup(rebuilt.home / "lineage.duckdb")
    notes, again = [], []
    for made in record:
        if made.key.asset in _EMBEDDINGS and not everything and reuse(made, live, scratch):
            console.print(f"  {made.key}: verified and reused", highlight=False, markup=False)
        else:
            again.append(made)
        if made.key.asset == "ot_potentials" and (note := seed_start(made, live, scratch)):
            notes.append(note)
    _make(rebuilt, record, console)
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
    notes += changed_surroundings(again, installed_packages(), current_conditions(rebuilt.settings))
    _report(selection, console, found=found, notes=notes, live=live, scratch=scratch)
    return False


def _make(rebuilt: Project, record: Sequence[Recorded], console: Console) -> None:
    """Run the stages of the record, each with as many threads as then."""
    import dagster as dg

    from gotd_assets.defs.placement import Placement
    from gotd_assets.defs.stage_runs import run_stages

    placement = Placement(rebuilt, lambda: rebuilt)
    job = project_job(placement, console)
    stages = list(_stages(rebuilt, record))
    with dg.DagsterInstance.ephemeral() as instance:
        for number, (stage, threads) in enumerate(stages, 1):
            console.rule(f"[bold]{number}/{len(stages)}[/] {stage.title}", align="left")
            with _threads(threads):
                run_stages(
                    placement,
                    job,
                    instance,
                    [stage],
                    announce=lambda *_: None,
                    warn=lambda problem: console.print(f"[yellow]warning:[/] {problem}", highlight=False),
                )


def _stages(rebuilt: Project, record: Sequence[Recorded]) -> Iterator[tuple[Stage, int | None]]:
    """What leads to the selection, configured as recorded, with the number of threads it was made with (None: any)."""
    from gotd_assets.defs.stages import candidate_stages, target_stages

    recorded = {made.key: made for made in record}
    target = (record[-1].key.partition or "").partition("/")[0]
    for stage in (*candidate_stages(rebuilt.settings), *target_stages(rebuilt.settings, [target])):
        keys = [ArtifactKey(asset, stage.artifact_partition) for asset in stage.assets]
        made = [recorded[key] for key in keys if key in recorded]
        for threads, group in itertools.groupby(made, lambda one: one.conditions.get(TORCH_THREADS)):
            some = tuple(group)
            part = dataclasses.replace(
                stage,
                title=", ".join(str(one.key) for one in some).replace("[", r"\["),
                assets=tuple(one.key.asset for one in some),
                config=_config(some),
            )
            yield part, None if threads is None else int(threads)


def _config(made: Sequence[Recorded]) -> Mapping[str, Mapping[str, object]]:
    """What the launchpad had set; its fields are text where they allow text."""
    return {
        one.key.asset: {
            name: str(one.parameters[name]) if name == "budget" else one.parameters[name]
            for name in _OVERRIDES[one.key.asset]
        }
        for one in made
        if one.key.asset in _OVERRIDES
    }


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch work on `count` threads; sums come out in another order on another number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _report(
    selection: Recorded,
    console: Console,
    *,
    found: Sequence[Difference],
    notes: Sequence[str],
    live: ArtifactStore,
    scratch: ArtifactStore,
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
