"""What a station is handed when it prepares an artifact: the project, what it reads, and where it tells how far it is."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, overload

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.leases import Lease
from gotd_assets.artifacts.store import ArtifactStore, ArtifactWriter
from gotd_assets.errors import ArtifactError, MissingArtifactError
from gotd_assets.lineage import LineageStore, SourceFile
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.reads import Each, One

if TYPE_CHECKING:
    from gotd_assets.corpus.files.copies import RemoteFiles
    from gotd_assets.embedding.estimate import EmbeddingEstimate
    from gotd_assets.settings.project import Project, Settings
    from gotd_assets.settings.texts import SourceSettings, TargetSettings
    from gotd_assets.training.forecast import TrainingEstimate

SECONDS_BETWEEN_LOG_LINES = 5.0
SECONDS_BETWEEN_OBSERVATIONS = 60.0


class Journal(Protocol):
    """Whoever is told how far a station is."""

    def log(self, line: str) -> None:
        """A line for people."""
        ...

    def progress(self, line: str) -> None:
        """How far the station is; the next such line makes it stale."""
        ...

    def warn(self, line: str) -> None:
        """A line that people should not miss."""
        ...

    def observe(self, progress: object) -> None:
        """How far a long step is, every minute; str() of it is a line for people."""
        ...


class Silence:
    """Nobody."""

    def log(self, line: str) -> None:
        """Not heard."""

    def progress(self, line: str) -> None:
        """Not heard."""

    def warn(self, line: str) -> None:
        """Not heard."""

    def observe(self, progress: object) -> None:
        """Not heard."""


class Work:
    """The making of one artifact of one station.

    Args:
        project: settings, those of this run alone included, and folder.
        asset: that is made.
        partition: in which it is made.
        reads: what may be opened, and for each the partitions in which it is.
        read: the artifact of a key as a station is to read it; by default the current one.
        journal: is told how far it is.
        run_id: of the run that it belongs to.
        aside: what is made is for that run alone.
        origin: names of that run, as tags of runs elsewhere.
        lineage: the project's, if it is open already.
    """

    def __init__(
        self,
        project: Project,
        asset: str,
        partition: Partition,
        reads: Mapping[One | Each, Sequence[Partition]],
        *,
        read: Callable[[ArtifactKey], Artifact] | None = None,
        journal: Journal | None = None,
        run_id: str | None = None,
        aside: bool = False,
        origin: Mapping[str, str] | None = None,
        lineage: LineageStore | None = None,
    ) -> None:
        self.project = project
        self.settings: Settings = project.settings
        self.root: Path = project.root
        self.partition = partition
        self.key = ArtifactKey(asset, partition.name)
        self.store = ArtifactStore.of(project)
        self.run_id = run_id
        self.aside = aside
        self.origin = origin or {}
        self.lease: Lease | None = None
        self.inputs: dict[str, str] = {}
        self._lineage = lineage
        self._reads = reads
        self._read = read or (lambda key: self.store.current(key, run_id))
        self._journal = journal or Silence()
        self._last_line = 0.0
        self._last_observation = time.monotonic()

    @overload
    def open(self, read: One) -> Artifact: ...
    @overload
    def open(self, read: Each) -> dict[str, Artifact]: ...
    def open(self, read: One | Each) -> Artifact | dict[str, Artifact]:
        """The current artifact of what the station declares to read; its version becomes an input.

        Of several, by the name that tells them apart (source, target or method), in the order of the settings.

        Raises:
            MissingArtifactError: one was not made yet, and is not optional.
            ArtifactError: one is damaged.
        """
        if read not in self._reads:
            raise ValueError(f"{self.key.asset} does not declare that it reads {read}")
        found = {}
        for partition in self._reads[read]:
            try:
                artifact = self._opened(self._read, ArtifactKey(read.asset, partition.name))
            except MissingArtifactError:
                if read.optional:
                    continue
                raise
            self.inputs[str(artifact.key)] = artifact.version
            found[partition] = artifact
        if isinstance(read, One):
            (artifact,) = found.values()
            return artifact
        return {
            partition.source or (partition.own_target if read.targets else partition.method) or "": artifact
            for partition, artifact in found.items()
        }

    def depend_on(self, inputs: Mapping[str, str]) -> None:
        """Add inputs that are not artifacts, such as files by checksum or a model by version."""
        self.inputs.update(inputs)

    def current(self) -> Artifact | None:
        """What is current until now of what is being made; it is not an input."""
        try:
            return self._opened(self.store.current, self.key)
        except ArtifactError:
            return None

    def _opened(self, find: Callable[[ArtifactKey], Artifact], key: ArtifactKey) -> Artifact:
        if self.lease is None:
            return find(key)
        with self.lease.opening():
            artifact = find(key)
            self.lease.hold(key, artifact.version)
        return artifact

    @functools.cached_property
    def lineage(self) -> LineageStore:
        """The project's lineage."""
        return self._lineage or LineageStore(self.project.home.lineage)

    def forgotten(self) -> list[str]:
        """doc_ids that nothing made from now on may hold, in order."""
        return self.lineage.forgotten_documents().get_column("doc_id").sort().to_list()

    @functools.cached_property
    def remote(self) -> RemoteFiles:
        """Files behind URLs, the same for all that this work does with them."""
        from gotd_assets.corpus.files.copies import RemoteFiles

        return RemoteFiles(self.project.home.remote, self.show)

    def checksums(self, entry: SourceSettings | TargetSettings) -> dict[str, str]:
        """SHA-256 of every file of `entry`, by name.

        Raises:
            InputError: a path matches nothing, or a file cannot be read.
        """
        from gotd_assets.corpus.files.content import content_fingerprint

        return content_fingerprint(entry, self.root, cache=self.project.home.checksums, remote=self.remote)

    def source_files(self, checksums: Mapping[str, str]) -> list[SourceFile]:
        """The user's files by name, with size, for lineage."""
        return [
            SourceFile(name, self.remote.local(name, self.root).stat().st_size, checksum)
            for name, checksum in checksums.items()
        ]

    @property
    def tracking_tags(self) -> dict[str, str]:
        """Tags of runs in MLflow that this work makes."""
        return {**self.origin, **{f"gotd.{name}": value for name, value in self.partition.facts.items()}}

    def log(self, line: str, *, always: bool = False) -> None:
        """Tell a line: a fact if `always`, else how far the work is, at most every few seconds."""
        now = time.monotonic()
        if always:
            self._last_line = now
            self._journal.log(line)
        elif now - self._last_line >= SECONDS_BETWEEN_LOG_LINES:
            self._last_line = now
            self._journal.progress(line)

    def warn(self, line: str) -> None:
        """Tell what people should not miss."""
        self._journal.warn(line)

    def show(self, progress: object) -> None:
        """Tell what a room reports: as a line every few seconds, and as an observation every minute."""
        self.log(str(progress))
        now = time.monotonic()
        if now - self._last_observation >= SECONDS_BETWEEN_OBSERVATIONS:
            self._last_observation = now
            self._journal.observe(progress)

    def announce(self, estimate: EmbeddingEstimate | TrainingEstimate | None, writer: ArtifactWriter) -> None:
        """Tell how long a step will take, in the log and in the artifact's summary."""
        if estimate is not None:
            self.log(str(estimate), always=True)
            writer.summary.update(estimate.as_summary())
