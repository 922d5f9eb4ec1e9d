"""Vectors as stored: finite, not zero, one for each document."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.checks.check import Check, CheckContext, Finding

_ROWS_AT_A_TIME = 4096


def usable_vectors(folder: Path, normalized: bool, documents: int) -> Finding:
    """Whether every vector in `folder` (vectors-*.npy, (n, D), and ids-*.npy beside) can be used.

    Args:
        folder: of an embeddings artifact.
        normalized: whether vectors must have length 1.
        documents: how many there must be.
    """
    from gotd_assets.embedding.vectors import open_vectors

    infinite = zero = not_unit = rows = 0
    dimensions = set()
    for shard in open_vectors(folder):
        for start in range(0, len(shard.vectors), _ROWS_AT_A_TIME):
            # In double precision, where squares of single ones neither overflow nor vanish.
            vectors = np.asarray(shard.vectors[start : start + _ROWS_AT_A_TIME], dtype=np.float64)
            norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
            finite = np.isfinite(norms)
            infinite += int((~finite).sum())
            zero += int((norms == 0).sum())
            # Half precision rounds each of D numbers by at most 2⁻¹¹ of itself, so the norm by no more than that.
            not_unit += int((finite & (norms > 0) & (np.abs(norms - 1) > 2e-3)).sum()) if normalized else 0
        rows += len(shard.ids)
        dimensions.add(shard.vectors.shape[1])
        if len(shard.ids) != len(shard.vectors):
            return Finding(
                passed=False, sentence=f"{len(shard.vectors)} vectors stand beside {len(shard.ids)} ids in a shard"
            )
    wrong = {
        f"{infinite} vectors hold NaN or an infinity": infinite,
        f"{zero} vectors are zero": zero,
        f"{not_unit} vectors are not of length 1": not_unit,
        f"{rows} vectors stand where {documents} were reported": rows != documents,
        f"vectors have different dimensions: {sorted(dimensions)}": len(dimensions) > 1,
    }
    problems = [sentence for sentence, count in wrong.items() if count]
    figures = {"vectors": rows, "not_finite": infinite, "zero": zero, "not_unit": not_unit}
    if problems:
        return Finding(False, "; ".join(problems) + ": check encoder.model, and embed again", figures)
    return Finding(True, f"{rows:,} vectors, all finite and none zero", figures)


def _usable(context: CheckContext, artifact: Artifact) -> Finding:
    documents = int(str(artifact.manifest.summary["documents"]))
    return usable_vectors(artifact.path, context.project.settings.encoder.normalize, documents)


VECTORS = (
    Check(
        "usable_vectors",
        "No vector holds NaN or is zero, and there is one for each document. One NaN spoils a whole transport problem.",
        _usable,
        blocking=True,
    ),
)
