"""How far a target moved, and whether chance alone would move it as far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.checks.check import Check, CheckContext, Finding
from gotd_assets.errors import ArtifactError

if TYPE_CHECKING:
    import numpy.typing as npt

_SAMPLE = 200
_BATCH = 10
# Blur as a share of the typical distance: fine enough to see a shift of part of the documents.
_BLUR = 0.1


def drift(
    old: npt.NDArray[Any], new: npt.NDArray[Any], *, permutations: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Sinkhorn divergence between two samples of vectors, and its permutation p-value.

    The divergence (Feydy et al. 2019, cost ½‖x−y‖²) is computed by geomloss on at most 200 vectors of each. Under the
    hypothesis that both come from one distribution, every split of the two samples taken together is as likely as the
    one that was seen; p is the share of splits, the seen one included, with a divergence as large.

    Args:
        old: (n, D), what there was.
        new: (m, D), what there is.
        permutations: splits drawn at random.
        seed: of sampling and splits.
    """
    import torch
    from geomloss import SamplesLoss

    draw = np.random.default_rng(seed)
    samples = [
        rows[draw.choice(len(rows), size=min(_SAMPLE, len(rows)), replace=False)].astype(np.float32)
        for rows in (old, new)
    ]
    together = np.concatenate(samples)
    split = len(samples[0])
    orders = [np.arange(len(together)), *(draw.permutation(len(together)) for _ in range(permutations))]
    points = torch.from_numpy(together)
    distances = torch.pdist(points)
    scale = float(distances.median()) if len(distances) else 0.0
    if scale == 0.0:
        return 0.0, 1.0
    loss = SamplesLoss("sinkhorn", p=2, blur=_BLUR * scale, diameter=float(distances.max()), backend="tensorized")
    values: list[float] = []
    for start in range(0, len(orders), _BATCH):
        batch = points[torch.from_numpy(np.stack(orders[start : start + _BATCH]))]
        values += loss(batch[:, :split].contiguous(), batch[:, split:].contiguous()).tolist()
    seen = values[0]
    as_large = sum(value >= seen - 1e-7 * scale**2 for value in values)
    return max(seen, 0.0), as_large / len(values)


def target_drift(old: npt.NDArray[Any] | None, new: npt.NDArray[Any], *, p_value: float, permutations: int) -> Finding:
    """Whether a target is still the one last selected for.

    Args:
        old: (n, D) vectors of the target at the last selection, None if there was none or they are gone.
        new: (m, D) vectors now.
        p_value: below it the target has drifted.
        permutations: splits behind the p-value.
    """
    if old is None or not len(old):
        return Finding(passed=True, sentence="there is no earlier selection to compare with")
    divergence, p = drift(old, new, permutations=permutations)
    figures: dict[str, float | int | str] = {
        "divergence": divergence,
        "p_value": p,
        "documents_before": len(old),
        "documents_now": len(new),
    }
    if p >= p_value:
        return Finding(True, f"no drift beyond chance: Sinkhorn divergence {divergence:.3g}, p = {p:.3g}", figures)
    return Finding(
        False,
        f"the target drifted since the last selection: Sinkhorn divergence {divergence:.3g}, p = {p:.3g} (below "
        f"checks.drift_p_value, {p_value:g}). If that was not meant, look at what was added",
        figures,
    )


def _drift(context: CheckContext, artifact: Artifact) -> Finding:
    """The target's vectors now against those behind the potentials that the last selection was made with."""
    key, limits = artifact.key, context.project.settings.checks
    now = _vectors(context, artifact)
    try:
        potentials = context.store.current(ArtifactKey("ot_potentials", key.partition))
        before = context.store.find(key, potentials.manifest.inputs[str(key)])
    except (ArtifactError, KeyError):
        before = None
    old = None if before is None or before.version == artifact.version else _vectors(context, before)
    if now is None:
        raise ArtifactError(f"the embeddings behind {key} {artifact.version} are gone: materialise them again")
    return target_drift(old, now, p_value=limits.drift_p_value, permutations=limits.drift_permutations)


def _vectors(context: CheckContext, sketch: Artifact) -> np.ndarray[tuple[int, int], np.dtype[np.float32]] | None:
    from gotd_assets.embedding.vectors import open_vectors

    key = ArtifactKey("target_embeddings", sketch.key.partition)
    embeddings = context.store.find(key, sketch.manifest.inputs[str(key)])
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
