"""Which artifacts nothing needs any more."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

from gotd_assets.errors import ArtifactError
from gotd_assets.storage import Artifact, ArtifactKey, ArtifactStore

# MLflow refers to trained models where they stand, so every one of them keeps what it was made from.
KEPT_FOR_GOOD = frozenset({"pre_fine_tuned_model"})
_INPUT = re.compile(r"(?P<asset>[^\[\]]+)(?:\[(?P<partition>[^\[\]]+)\])?")


def unreferenced(store: ArtifactStore, *, older_than: dt.timedelta, now: dt.datetime | None = None) -> list[Artifact]:
    """Artifacts that no current artifact and no trained model was made from, directly or not, oldest first.

    Args:
        store: the project's artifacts.
        older_than: what is younger stays, so that nothing is taken from a run that has not published it yet.
        now: the time to count from, with its zone.
    """
    everything = {(str(artifact.key), artifact.version): artifact for artifact in store.all_versions()}
    needed = _closure(_roots(store, everything.values()), everything)
    before = (now or dt.datetime.now(dt.UTC)) - older_than
    found = [
        artifact
        for identity, artifact in everything.items()
        if identity not in needed and dt.datetime.fromisoformat(artifact.manifest.created_at) < before
    ]
    return sorted(found, key=lambda artifact: artifact.manifest.created_at)


def size_of(artifact: Artifact) -> int:
    """Bytes of the artifact's data files."""
    return sum(file.size for file in artifact.manifest.files)


def _roots(store: ArtifactStore, everything: Iterable[Artifact]) -> set[tuple[str, str]]:
    roots = set()
    for artifact in everything:
        if artifact.key.asset in KEPT_FOR_GOOD or _is_current(store, artifact):
            roots.add((str(artifact.key), artifact.version))
    return roots


def _is_current(store: ArtifactStore, artifact: Artifact) -> bool:
    try:
        return store.current(artifact.key).version == artifact.version
    except ArtifactError:
        return False


def _closure(roots: set[tuple[str, str]], everything: dict[tuple[str, str], Artifact]) -> set[tuple[str, str]]:
    needed: set[tuple[str, str]] = set()
    waiting = list(roots)
    while waiting:
        identity = waiting.pop()
        if identity in needed or identity not in everything:
            continue
        needed.add(identity)
        for name, version in everything[identity].manifest.inputs.items():
            match = _INPUT.fullmatch(name)
            if match is not None:
                waiting.append((_name(match["asset"], match["partition"]), version))
    return needed


def _name(asset: str, partition: str | None) -> str:
    """The key as manifests write it; what is no artifact (a file, a model) is found nowhere and does no harm."""
    try:
        return str(ArtifactKey(asset, partition))
    except ArtifactError:
        return asset
