"""Which artifacts are in use: what steps read and make is theirs until they end, and nobody removes it.

A step holds a lease: a locked file that lists versions. Whoever looks for what can be removed takes the turn alone, for
as long as that takes, and spares what leases of living processes list.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.lock import held, is_held

Identity: TypeAlias = tuple[str, str]
"""'asset[partition]' and version."""

_TURN = "turn.lock"
_SUFFIX = ".lease"


class Lease:
    """What one step uses. Made by `leased`."""

    def __init__(self, folder: Path, file: Path) -> None:
        self._folder, self._file = folder, file

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Between finding an artifact and `hold`, none is removed."""
        with held(self._folder / _TURN, shared=True):
            yield

    def hold(self, key: ArtifactKey, version: str) -> None:
        """The version is in use from now on, whether it exists yet or not."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{key}\t{version}\n")


@contextlib.contextmanager
def leased(artifacts: Path) -> Iterator[Lease]:
    """A lease on artifacts below the folder `artifacts`, for as long as the block takes or its process lives."""
    folder = _folder(artifacts)
    folder.mkdir(parents=True, exist_ok=True)
    # The turn keeps `in_use` from taking the file for a dead process's before it is locked.
    with contextlib.ExitStack() as stack:
        file = folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        with held(folder / _TURN, shared=True):
            stack.enter_context(held(file))
        try:
            yield Lease(folder, file)
        finally:
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def in_use(artifacts: Path) -> Iterator[set[Identity]]:
    """What living processes use; nothing is added while the block lasts. Leases of dead ones are removed."""
    folder = _folder(artifacts)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / _TURN):
        used: set[Identity] = set()
        for file in folder.glob(f"*{_SUFFIX}"):
            if not is_held(file):
                file.unlink(missing_ok=True)
                continue
            with contextlib.suppress(FileNotFoundError):
                lines = file.read_text(encoding="utf-8").splitlines()
                used.update((name, version) for name, _, version in (line.partition("\t") for line in lines))
        yield used


def identity(artifact: Artifact) -> Identity:
    """The artifact's."""
    return str(artifact.key), artifact.version


def _folder(artifacts: Path) -> Path:
    return artifacts.parent / "leases"
