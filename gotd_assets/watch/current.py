"""What is current: from which content and which pool the current artifacts were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError
from gotd_assets.fingerprint import fingerprint


class PoolNotReadyError(Exception):
    """Candidates are being read, embedded or compared; the message says which."""


def content_of(checksums: Mapping[str, str]) -> str:
    """Fingerprint of files by content alone: names and folders do not matter."""
    return fingerprint(sorted(checksums.values()))


def current_artifact(store: ArtifactStore, key: ArtifactKey) -> Artifact | None:
    """The current artifact of `key`, None if there is none."""
    try:
        return store.current(key)
    except ArtifactError:
        return None


def current_content(store: ArtifactStore, key: ArtifactKey, prefix: str) -> str | None:
    """Fingerprint of the files that the current artifact was read from (its inputs whose names start with `prefix`)."""
    artifact = current_artifact(store, key)
    if artifact is None:
        return None
    return content_of({name: sha for name, sha in artifact.manifest.inputs.items() if name.startswith(prefix)})


def embedded_pool(store: ArtifactStore, sources: Sequence[str]) -> str:
    """Fingerprint of the pool as it is now: every source embedded, and compared with the others.

    Raises:
        PoolNotReadyError: a source was read but not embedded yet, or duplicates were not looked for since.
    """
    pool = current_artifact(store, ArtifactKey("candidate_pool"))
    inputs = {}
    for source in sources:
        raw = current_artifact(store, ArtifactKey("raw_candidates", source))
        embeddings = current_artifact(store, ArtifactKey("candidate_embeddings", source))
        if raw is None:
            raise PoolNotReadyError(f"source {source} was never read: start with `gotd run` or the job ingest_source")
        if embeddings is None or embeddings.manifest.inputs.get(str(raw.key)) != raw.version:
            raise PoolNotReadyError(f"source {source} was read but is not embedded yet")
        if pool is None or pool.manifest.inputs.get(str(raw.key)) != raw.version:
            raise PoolNotReadyError(f"duplicates were not looked for since source {source} changed")
        if pool.manifest.inputs.get(str(embeddings.key), embeddings.version) != embeddings.version:
            raise PoolNotReadyError(f"vectors were not compared since source {source} was embedded")
        inputs[str(embeddings.key)] = embeddings.version
    if pool is None:
        raise PoolNotReadyError("no source was ever read")
    return _pool_fingerprint({**inputs, str(pool.key): pool.version})


def pool_of_potentials(store: ArtifactStore, target: str) -> str | None:
    """Fingerprint of the pool that the current potentials of `target` were solved on, None if there are none."""
    potentials = current_artifact(store, ArtifactKey("ot_potentials", target))
    return None if potentials is None else _pool_fingerprint(potentials.manifest.inputs)


def _pool_fingerprint(inputs: Mapping[str, str]) -> str:
    return fingerprint(
        {
            name: version
            for name, version in inputs.items()
            if name == "candidate_pool" or name.startswith("candidate_embeddings[")
        }
    )
