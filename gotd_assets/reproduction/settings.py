"""The settings that every artifact behind a recorded selection was made with, so that it is made again with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.reproduction.old_records import put_together
from gotd_assets.reproduction.record import Recorded
from gotd_assets.reproduction.validation import available_device, known, recorded_files
from gotd_assets.settings.operation import CheckSettings, NotifySettings
from gotd_assets.settings.project import Project, Settings
from gotd_assets.settings.texts import SourceSettings, TargetSettings, TargetsFolderSettings
from gotd_assets.stations.all import GRAPH

_Entry = TypeVar("_Entry", SourceSettings, TargetSettings)

# It passed its checks then; limits that were tightened since say nothing about whether it can be made again.
_NO_LIMITS = CheckSettings(
    max_quarantine_rate=1,
    max_marginal_error=math.inf,
    max_relative_gap=math.inf,
    max_contaminated=2**62,
    max_source_share=1,
    max_loss_growth=math.inf,
)


def settings_of_record(
    record: Sequence[Recorded], today: Settings, root: Path, home: Path
) -> dict[ArtifactKey, Settings]:
    """For each artifact of `record` the settings that make it again, out of the user's files below `root` in `home`.

    Sources and targets read the recorded files, in their order, and no files that came since. Checks have no limits.

    Args:
        record: inputs before outputs; the last one is a selection.
        today: settings of the project now; from them comes what old records lack.
        root: folder that paths are relative to.
        home: folder for what is made again.

    Raises:
        InputError: the record holds settings that this version does not know.
    """
    found = {}
    old: Settings | None = None
    for made in record:
        if made.settings is not None:
            settings = _of_record(made, root)
        else:
            old = old or put_together(record, today, root)
            settings = Project(root=root, settings=old).overridden(_launchpad(made)).settings
        found[made.key] = settings.model_copy(
            update={
                "home": home,
                "targets_folder": TargetsFolderSettings(),
                "checks": _NO_LIMITS,
                "notify": NotifySettings(),
                # A figure beside the selection that takes a solve for each.
                "selection": settings.selection.model_copy(update={"stability_resamples": 0}),
            }
        )
    return found


def _launchpad(made: Recorded) -> dict[str, object]:
    """What was given for the run alone that made `made`."""
    names = {path: path.partition(".")[2] for path in GRAPH.named(made.key.asset).launchpad}
    return {path: made.parameters[name] for path, name in names.items() if name in made.parameters}


def _of_record(made: Recorded, root: Path) -> Settings:
    settings = known(Settings, made, {**(made.settings or {}), "targets_folder": {}})
    encoder = settings.encoder.model_copy(update={"device": available_device(settings.encoder.device)})
    transport = settings.transport.model_copy(update={"device": available_device(settings.transport.device)})
    asset, partition = made.key.asset, made.key.partition
    changes: dict[str, object] = {"encoder": encoder, "transport": transport}
    if asset == "raw_candidates":
        changes["sources"] = [
            _read_from(made, source, root) if source.name == partition else source for source in settings.sources
        ]
    if asset == "target_documents":
        changes["targets"] = [
            _read_from(made, target, root) if target.name == partition else target for target in settings.targets
        ]
    if asset == "labelled_documents":
        tasks = [
            task.model_copy(update={"path": list(made.source_files)}) if task.target == partition else task
            for task in settings.evaluation.classification
        ]
        changes["evaluation"] = settings.evaluation.model_copy(update={"classification": tasks})
    return settings.model_copy(update=changes)


def _read_from(made: Recorded, entry: _Entry, root: Path) -> _Entry:
    """A source or target that reads the recorded files; what was held out in files of its own stays apart."""
    apart = entry.holdout.path if isinstance(entry, TargetSettings) else None
    return known(type(entry), made, {**entry.model_dump(), "path": recorded_files(made, apart, root)})
