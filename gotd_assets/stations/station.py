"""What a station is: all that is true of one asset, told once, in the asset's own file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from gotd_assets.catalogue.shown import figures
from gotd_assets.stations.partition import Division, Partition

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.artifacts.store import ArtifactStore, ArtifactWriter
    from gotd_assets.catalogue.columns import Table
    from gotd_assets.catalogue.shown import Description
    from gotd_assets.checks.check import Check
    from gotd_assets.fingerprint import Json
    from gotd_assets.lineage import Materialisation
    from gotd_assets.settings.project import Project, Settings
    from gotd_assets.stations.reads import Each, One
    from gotd_assets.stations.work import Work

Group: TypeAlias = Literal["candidates", "target", "transport", "selection", "training", "evaluation"]
GROUPS: tuple[Group, ...] = ("candidates", "target", "transport", "selection", "training", "evaluation")
"""In the order of the data."""


def _always(_: Settings) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Condition:
    """Something that artifacts on disk tell, partition by partition.

    Attributes:
        name, description: as the UI shows it.
        holds: whether it is so.
    """

    name: str
    description: str
    holds: Callable[[Project, ArtifactStore, Partition], bool]


@dataclasses.dataclass(frozen=True)
class Follows:
    """What makes a station due by itself: other content of an asset that it reads.

    Attributes:
        asset: name of the asset, by the settings.
        label: as the UI shows it.
        also: a condition that makes it due as well, once it begins to hold.
        only_if: a condition without which it is not.
    """

    asset: Callable[[Settings], str]
    label: str
    also: Condition | None = None
    only_if: Condition | None = None


@dataclasses.dataclass(frozen=True)
class VersionTag:
    """A tag of runs that names the version of an artifact which they made or read.

    Attributes:
        name: of the tag.
        only_new: not if the artifact existed already.
    """

    name: str
    only_new: bool = False


SELECTION_VERSION = VersionTag("gotd/selection_version")
MODEL_VERSION = VersionTag("gotd/model_version", only_new=True)


def _unchanged(_: Artifact, materialisation: Materialisation) -> Materialisation:
    return materialisation


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the artifact of one partition is made, once everything that it reads is open.

    Attributes:
        parameters: every setting that shapes its content.
        write: fills the writer's folder and summary.
        describe: what people are shown, from the finished artifact.
        record: adds to the lineage record what only this station knows (members, training runs).
        paced_by: number in the summary whose count per second is worth showing.
    """

    parameters: Mapping[str, Json]
    write: Callable[[ArtifactWriter], None]
    describe: Callable[[Artifact], Description] = figures
    record: Callable[[Artifact, Materialisation], Materialisation] = _unchanged
    paced_by: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Station:
    """One asset of the graph.

    Attributes:
        prepare: opens what the asset reads and says how it is made; its name is the asset's, its docstring the
            description that people read.
        verb: what making it is, in one or two words.
        division: how it is divided.
        group: where it stands on the way of the data.
        kinds: technologies, which the UI shows as icons.
        code_version: changes whenever the same inputs and parameters would give other content.
        reads: what `prepare` may open.
        looks: before a run of several stations begins, looks at what this one will need of the user's models and files, in
            seconds, so that nothing that is missing or damaged is found after hours.
        checks: questions that its artifacts must answer.
        table: the table that stands for it in a catalogue.
        is_heavy: uses all cores or a GPU, so that one such step runs at a time.
        has_workers: hands work to the workers of an engine, though it is not heavy.
        launchpad: settings ('transport.epsilon') that can be given for a single run.
        follows: what makes it due by itself.
        exists: whether a project with these settings has it at all.
        wanted: whether it is made for a partition; where not, it is left out of runs of everything.
        version_tag: of runs that make it or read it.
        is_kept: every version is kept for good, with what it was made from.
    """

    prepare: Callable[[Work], Recipe]
    verb: str
    division: Division
    group: Group
    kinds: frozenset[str] = frozenset()
    code_version: str = "1"
    reads: tuple[One | Each, ...] = ()
    looks: tuple[Callable[[Project, Partition], None], ...] = ()
    checks: tuple[Check, ...] = ()
    table: Table | None = None
    is_heavy: bool = False
    has_workers: bool = False
    launchpad: tuple[str, ...] = ()
    follows: Follows | None = None
    exists: Callable[[Settings], bool] = _always
    wanted: Callable[[Settings, Partition], bool] = lambda _settings, _partition: True
    version_tag: VersionTag | None = None
    is_kept: bool = False

    @property
    def is_late(self) -> bool:
        """Whether it comes after the selections: these are cheap, what trains and measures models is not."""
        return self.group in ("training", "evaluation")

    @property
    def name(self) -> str:
        """Of the asset."""
        return self.prepare.__name__

    @property
    def description(self) -> str:
        """For people."""
        return self.prepare.__doc__ or ""
