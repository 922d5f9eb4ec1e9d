"""A recorded selection, made again in a home of its own, each artifact with the settings and threads of its record."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.artifacts.conditions import TORCH_THREADS, current_conditions, installed_packages
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import InputError
from gotd_assets.lineage import LineageStore
from gotd_assets.reproduction.comparison import Difference, changed_surroundings, differences, first_difference
from gotd_assets.reproduction.record import Recorded, check_source_files, reuse, seed_start
from gotd_assets.reproduction.settings import settings_of_record
from gotd_assets.settings.home import Home
from gotd_assets.settings.project import Project
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.workshop import Workshop

if TYPE_CHECKING:
    from gotd_assets.stations.work import Journal

# Hours of encoding; made again only on demand.
_EMBEDDINGS = ("tuned_encoder", "candidate_embeddings", "target_embeddings")


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What came of making a selection again.

    Attributes:
        selection: its record.
        found: where it, or what leads to it, is not as recorded; empty if every byte of the selection is.
        first_row: the first place in which the tables differ, in words; None where they do not, or the recorded one is
            gone.
        notes: what may be the cause: packages, processor, settings outside versions.
    """

    selection: Recorded
    found: Sequence[Difference]
    first_row: str | None
    notes: Sequence[str]


def reproduce(
    project: Project,
    version: str,
    *,
    journal: Journal,
    announce: Callable[[int, int, str], None],
    everything: bool,
    keep: Path | None,
    files: Path | None,
) -> Reproduction:
    """Make the selection `version` again from the user's files, and compare.

    Settings and number of threads are those of the record. Verified embeddings of the live project are reused unless
    `everything`. Nothing of the live project is written.

    Args:
        project: whose lineage has the record.
        version: of the selection, or its first 8 or more characters.
        journal: is told how far each station is.
        announce: is told number, how many there will be, and title of each part before it begins.
        everything: embed again, too.
        keep: folder to leave the rebuilt home in.
        files: folder that the user's files stand in as they did; by default the project's own.

    Raises:
        GotdError: it is not in the record, a file it was made from changed, or a station failed.
    """
    lineage = LineageStore(project.home.lineage)
    record = [Recorded.of(row) for row in lineage.reproduction_record(version)]
    root = project.root if files is None else files.absolute()
    check_source_files(record, root)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise InputError(f"{keep} is not empty: give a new folder to keep the rebuilt home in")
    parent = project.home.temporary
    parent.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="reproduce-", dir=parent)) if keep is None else keep.absolute()
    try:
        settings = settings_of_record(record, project.settings, root, home)
        # What was forgotten is part of what a pool was made of.
        home.mkdir(parents=True, exist_ok=True)
        lineage.backup(Home(home).lineage)
        live, scratch = ArtifactStore.of(project), ArtifactStore(Home(home).artifacts)
        again, notes = _prepare(record, live, scratch, journal, everything=everything)
        for number, made in enumerate(record, 1):
            announce(number, len(record), str(made.key))
            _make(made, Project(root=root, settings=settings[made.key]), journal)
        conditions = current_conditions(settings[record[-1].key])
        return _compared(record, again, notes, conditions, live=live, scratch=scratch)
    finally:
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)


def _prepare(
    record: Sequence[Recorded], live: ArtifactStore, scratch: ArtifactStore, journal: Journal, *, everything: bool
) -> tuple[list[Recorded], list[str]]:
    """Put there what is reused and where solves begin; returns what is made again, and what was missing."""
    again, notes = [], []
    for made in record:
        if made.key.asset in _EMBEDDINGS and not everything and reuse(made, live, scratch):
            journal.log(f"{made.key}: verified and reused")
        else:
            again.append(made)
        if made.key.asset == "ot_potentials" and (note := seed_start(made, live, scratch)):
            notes.append(note)
    return again, notes


def _make(made: Recorded, project: Project, journal: Journal) -> None:
    """Make an artifact again, on as many threads as then."""
    from gotd_assets.execution.threads import torch_threads

    station = GRAPH.named(made.key.asset)
    threads = made.conditions.get(TORCH_THREADS)
    with torch_threads(None if threads is None else int(threads)):
        Workshop(project, journal=journal).make(station.name, Partition.named(made.key.partition, station.division))


def _compared(
    record: Sequence[Recorded],
    again: Sequence[Recorded],
    notes: Sequence[str],
    conditions: Mapping[str, str],
    *,
    live: ArtifactStore,
    scratch: ArtifactStore,
) -> Reproduction:
    selection = record[-1]
    found = differences(record, scratch, exact=(selection.key.asset,))
    if not found:
        return Reproduction(selection, found, None, notes)
    recorded = live.find(selection.key, selection.version)
    where = None
    if recorded is not None:
        made = scratch.current(selection.key)
        where = first_difference(recorded.file("subset.parquet"), made.file("subset.parquet")) or "the same table"
    causes = changed_surroundings(again, installed_packages(), conditions)
    return Reproduction(selection, found, where, [*notes, *causes])
