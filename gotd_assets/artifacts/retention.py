"""Which artifacts nothing needs any more."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.leases import Identity, identity
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError

_INPUT = re.compile(r"(?P<asset>[^\[\]]+)(?:\[(?P<partition>[^\[\]]+)\])?")


def unreferenced(
    store: ArtifactStore,
    *,
    older_than: dt.timedelta,
    kept: Collection[str] = (),
    used: Collection[Identity] = (),
    runs: Collection[str] = (),
    now: dt.datetime | None = None,
) -> list[Artifact]:
    """Artifacts that nothing needs: they are not current, kept for good or in use, and none that is was made from them.

    Oldest first.

    Args:
        store: the project's artifacts.
        older_than: what is younger stays.
        kept: assets of which every version is kept for good.
        used: what steps use at this moment.
        runs: runs in progress; what they read instead of what is current is in use.
        now: the time to count from, with its zone.
    """
    everything = {identity(artifact): artifact for artifact in store.all_versions()}
    needed = _closure(_roots(store, everything.values(), kept, runs) | set(used), everything)
    before = (now or dt.datetime.now(dt.UTC)) - older_than
    found = [
        artifact
        for name, artifact in everything.items()
        if name not in needed and dt.datetime.fromisoformat(artifact.manifest.created_at) < before
    ]
    return sorted(found, key=lambda artifact: artifact.manifest.created_at)


def size_of(artifact: Artifact) -> int:
    """Bytes of the artifact's data files."""
    return sum(file.size for file in artifact.manifest.files)


def _roots(
    store: ArtifactStore, everything: Iterable[Artifact], kept: Collection[str], runs: Collection[str]
) -> set[Identity]:
    read: dict[ArtifactKey, set[str]] = {}
    for artifact in everything:
        if artifact.key not in read:
            read[artifact.key] = store.published(artifact.key, runs)
    return {
        identity(artifact)
        for artifact in everything
        if artifact.key.asset in kept or artifact.version in read[artifact.key]
    }


def _closure(roots: set[Identity], everything: Mapping[Identity, Artifact]) -> set[Identity]:
    needed: set[Identity] = set()
    waiting = list(roots)
    while waiting:
        found = waiting.pop()
        if found in needed or found not in everything:
            continue
        needed.add(found)
        for name, version in everything[found].manifest.inputs.items():
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
