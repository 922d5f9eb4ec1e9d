"""The check that a target is still the one last selected for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.defs.checks.check import Check
from gotd_assets.errors import ArtifactError
from gotd_assets.quality.drift import target_drift
from gotd_assets.storage import ArtifactKey

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.quality import Finding
    from gotd_assets.storage import Artifact


def _drift(station: Station, artifact: Artifact) -> Finding:
    """The target's vectors now against those behind the potentials that the last selection was made with."""
    limits = station.project.settings.checks
    now = _vectors(station, artifact)
    try:
        potentials = station.store.current(ArtifactKey("ot_potentials", station.key.partition))
        before = station.store.find(station.key, potentials.manifest.inputs[str(station.key)])
    except (ArtifactError, KeyError):
        before = None
    old = None if before is None or before.version == artifact.version else _vectors(station, before)
    if now is None:
        raise ArtifactError(f"the embeddings behind {station.key} {artifact.version} are gone: materialise them again")
    return target_drift(old, now, p_value=limits.drift_p_value, permutations=limits.drift_permutations)


def _vectors(station: Station, sketch: Artifact) -> np.ndarray[tuple[int, int], np.dtype[np.float32]] | None:
    from gotd_assets.embedding import open_vectors

    key = ArtifactKey("target_embeddings", station.key.partition)
    embeddings = station.store.find(key, sketch.manifest.inputs[str(key)])
    if embeddings is None:
        return None
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in open_vectors(embeddings.path).vectors])


SKETCH = (
    Check(
        "drift",
        "The target is still the one last selected for: the Sinkhorn divergence between its documents then and now is "
        "not larger than chance makes it (permutation test, checks.drift_p_value).",
        _drift,
    ),
)
