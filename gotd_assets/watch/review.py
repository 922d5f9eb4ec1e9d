"""One look at all sources, or all targets: which runs to start, and why not the others."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Collection
from pathlib import Path

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.corpus.files.content import content_fingerprint
from gotd_assets.corpus.files.copies import RemoteFiles
from gotd_assets.errors import GotdError
from gotd_assets.settings.project import Project
from gotd_assets.settings.texts import SourceSettings, TargetSettings
from gotd_assets.watch.asked import Asked, Find, is_due_again, remedy
from gotd_assets.watch.current import (
    PoolNotReadyError,
    content_of,
    current_artifact,
    current_content,
    embedded_pool,
    pool_of_potentials,
)
from gotd_assets.watch.memory import Memory, Request, State
from gotd_assets.watch.new_candidates import Verdict, judge
from gotd_assets.watch.same_texts import same_rows

# A sensor's tick ends after a minute; what is not read and judged by then is left to the next one.
_JUDGING_SECONDS = 20.0
_WAITING: dict[State, str] = {
    "moving": "its files changed; waiting until they are still",
    "busy": "its files changed while a run reads them; one more run follows",
}


@dataclasses.dataclass
class Review:
    """What one look came to.

    Attributes:
        requests: runs to start.
        added: targets to register.
        removed: targets to retire.
        notes: sentences on what waits and what cannot be used.
    """

    requests: list[Request] = dataclasses.field(default_factory=list)
    added: list[str] = dataclasses.field(default_factory=list)
    removed: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def _nothing_found(_: str) -> Asked | None:
    return None


def review_sources(
    project: Project, memory: Memory, busy: Collection[str], now: float, *, find: Find = _nothing_found
) -> Review:
    """Which sources to read again: those whose files changed since they were read and are still.

    A source that was never read is left to a person: a first run may take days.

    Args:
        project: settings and folder.
        memory: of the last look; updated.
        busy: sources that a run is reading.
        now: Unix time.
        find: the run that was asked for, by its key.
    """
    store = ArtifactStore.of(project)
    review = Review()
    # What is an asset of the user's own is followed by the orchestrator.
    for source in (source for source in project.settings.sources if source.asset is None):
        content = _content(source, project, review)
        current = current_content(store, ArtifactKey("raw_candidates", source.name), "file:")
        if content is None:
            continue
        if current is None:
            review.notes.append(f"source {source.name}: never read; start with `gotd run` or the job ingest_source")
            continue
        debounce = project.settings.watch.debounce_seconds
        state = memory.look(source.name, content, current, now=now, debounce=debounce, busy=source.name in busy)
        if state == "due":
            review.requests.append(Request(source.name, memory.ask(source.name), "its files changed"))
        elif state == "asked":
            _at_request(
                review, memory, source.name, f"source {source.name}", find=find, now=now, held=source.name in busy
            )
        elif state in _WAITING:
            review.notes.append(f"source {source.name}: {_WAITING[state]}")
    return review


def _at_request(review: Review, memory: Memory, name: str, label: str, *, find: Find, now: float, held: bool) -> None:
    """Ask once more for what never began, unless that is `held`; else say what became of the request."""
    sight = memory.sights[name]
    run = None if sight.run_key is None else find(sight.run_key)
    if is_due_again(sight, run, now) and not held:
        reason = f"run {run.run_id[:8]} for it never began" if run is not None else ""
        review.requests.append(Request(name.partition("#")[0], memory.ask(name), reason))
    else:
        review.notes.append(f"{label}: {remedy(sight, run, now)}")


def review_targets(
    project: Project,
    memory: Memory,
    busy: Collection[str],
    now: float,
    registered: Collection[str] | None = None,
    *,
    find: Find = _nothing_found,
) -> Review:
    """Which targets to select for again: those whose texts changed, and those that new candidates can change.

    Nothing starts while candidates are being read and embedded. One target's trouble is a note, and the others go on.
    A declared target that was never selected for is left to a person; one that appears in the targets folder is not.

    Args:
        project: settings and folder.
        memory: of the last look; updated.
        busy: targets that a run is selecting for.
        now: Unix time.
        registered: targets that the orchestrator knows, None if they cannot change while it runs.
        find: the run that was asked for, by its key.
    """
    look = _TargetsLook(project, memory, busy, now, find)
    if registered is not None:
        look.register(registered)
    for target in project.settings.targets:
        if look.at_files(target) == "unchanged":
            look.at_pool(target)
    return look.review


class _TargetsLook:
    """One look at all targets."""

    def __init__(self, project: Project, memory: Memory, busy: Collection[str], now: float, find: Find) -> None:
        self.project = project
        self.memory = memory
        self.busy = busy
        self.now = now
        self.find = find
        self.deadline = time.monotonic() + _JUDGING_SECONDS
        self.store = ArtifactStore.of(project)
        self.review = Review(notes=list(project.problems))
        self.sources = [source.name for source in project.settings.sources]
        folder = project.settings.targets_folder.path
        self.folder = None if folder is None else project.resolve(folder)
        self.pool: str | None = None
        try:
            self.pool = embedded_pool(self.store, self.sources)
        except PoolNotReadyError as error:
            self.review.notes.append(f"targets wait: {error}")

    def register(self, registered: Collection[str]) -> None:
        """Tell which targets came and went."""
        names = [target.name for target in self.project.settings.targets]
        self.review.added = [name for name in names if name not in registered]
        # A folder that is not mounted is no reason to retire what stood in it.
        if self.folder is None or self.folder.is_dir():
            self.review.removed = sorted(set(registered) - set(names))
        when = dt.datetime.fromtimestamp(self.now, dt.UTC).isoformat(timespec="seconds")
        self.memory.retire(self.review.removed, when)
        for name in self.review.added:
            self.memory.retired.pop(name, None)

    def at_files(self, target: TargetSettings) -> State | None:
        """Ask for a run if the files changed; None if nothing can be asked."""
        content = _content(target, self.project, self.review)
        current = current_content(self.store, ArtifactKey("target_documents", target.name), "content:")
        if content is None:
            return None
        if current is None and not self._appeared(target):
            self.review.notes.append(f"target {target.name}: never selected for; start with `gotd run`")
            return None
        debounce = self.project.settings.watch.debounce_seconds
        state = self.memory.look(
            target.name, content, current, now=self.now, debounce=debounce, busy=self._held(target.name)
        )
        if state == "due" and current is not None:
            state = self._unless_same_rows(target, current)
        if state == "due":
            reason = "its files changed" if current is not None else "it is new"
            run_key = self.memory.ask(target.name)
            self.review.requests.append(Request(target.name, run_key, reason))
            # The run solves on the pool as it is: that needs no run of its own.
            self._look_at_pool(target.name)
            self.memory.ask(_pool_sight(target.name), run_key)
        elif state == "asked":
            self._at_request(target.name, target.name, f"target {target.name}")
        elif state in _WAITING:
            self.review.notes.append(f"target {target.name}: {_WAITING[state]}")
        return state

    def at_pool(self, target: TargetSettings) -> None:
        """Ask for a run if the pool changed in a way that can change the selection; each pool is judged once."""
        state = None if self.pool is None else self._look_at_pool(target.name)
        if state == "asked":
            self._at_request(target.name, _pool_sight(target.name), f"target {target.name}, new candidates")
        if state != "due" or time.monotonic() > self.deadline:
            return
        run_key = self.memory.ask(_pool_sight(target.name))
        settings = self.project.settings
        try:
            verdict = judge(
                self.store,
                target.name,
                self.sources,
                settings.selection.methods,
                transport=settings.transport,
                direction=target.direction,
            )
        except (GotdError, OSError) as error:
            verdict = Verdict(changes=False, reason=f"new candidates could not be judged: {error}")
        self.review.notes.append(f"target {target.name}: {verdict.reason}")
        if verdict.changes:
            self.review.requests.append(Request(target.name, run_key, verdict.reason))

    def _unless_same_rows(self, target: TargetSettings, current: str) -> State:
        """'unchanged' if rows only changed places or files, 'moving' if there is no time left to see, else 'due'."""
        if time.monotonic() > self.deadline:
            return "moving"
        documents = current_artifact(self.store, ArtifactKey("target_documents", target.name))
        if documents is None or not same_rows(target, self.project, documents):
            return "due"
        self.memory.settle(target.name, current)
        self.review.notes.append(f"target {target.name}: its files changed, but hold the same texts as before")
        return "unchanged"

    def _look_at_pool(self, target: str) -> State:
        pool = self.pool or ""
        solved = pool_of_potentials(self.store, target)
        return self.memory.look(_pool_sight(target), pool, solved, now=self.now, debounce=0, busy=self._held(target))

    def _at_request(self, target: str, sight: str, label: str) -> None:
        _at_request(self.review, self.memory, sight, label, find=self.find, now=self.now, held=self._held(target))

    def _held(self, target: str) -> bool:
        return self.pool is None or target in self.busy

    def _appeared(self, target: TargetSettings) -> bool:
        paths = target.path if isinstance(target.path, list) else [target.path]
        first = paths[0]
        return isinstance(first, Path) and self.folder is not None and self.project.resolve(first).parent == self.folder


def _pool_sight(target: str) -> str:
    return f"{target}#pool"


def _content(entry: SourceSettings | TargetSettings, project: Project, review: Review) -> str | None:
    # A look must be quick: a remote file that changed is fetched by the run, not here.
    remote = RemoteFiles(project.home.remote, fetch=False)
    try:
        checksums = content_fingerprint(entry, project.root, cache=project.home.checksums, remote=remote)
    except (GotdError, OSError) as error:
        review.notes.append(str(error))
        return None
    return content_of(checksums)
