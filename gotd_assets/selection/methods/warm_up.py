"""TACS: what a model finds easier once it has seen the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.corpus.shards import iter_documents
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from gotd_assets.selection.problem import SelectionProblem


def tacs(problem: SelectionProblem) -> pl.DataFrame:
    """TACS ("Let the Target Select for Itself", 2026): the highest relative drop of loss during a warm-up on the target.

    The base model is trained on the target's texts; with ℓ₁ the loss per token of a candidate after the first pass over
    them and ℓ_T after the last, the score is (ℓ₁ − ℓ_T)/ℓ₁. Two forward passes for each candidate. The paper warms up by
    rank-one adapters and chooses T by the cosine of gradients; here the layers are trained that `training` says, and T is
    `selection.tacs.epochs`.

    Raises:
        InputError: there is no language model, or texts are missing.
    """
    if problem.loss_drops is None or not problem.documents:
        raise InputError("method 'tacs' needs texts and a language model: set training.model")
    frames = []
    for folder in problem.documents.values():
        for shard in iter_documents(folder, ["doc_id", "text"]):
            drops = np.asarray(problem.loss_drops(shard), dtype=np.float64)
            # A text without a token to predict says nothing: it comes last.
            known = np.isfinite(drops)
            frames.append(
                pl.DataFrame(
                    {
                        "doc_id": shard.get_column("doc_id"),
                        "score": -problem.sign * np.where(known, drops, 0.0),
                        "step": np.where(known, 1, 2).astype(np.int32),
                        "reason": [
                            f"loss falls by {100 * drop:.2f} %" if np.isfinite(drop) else "no token to predict"
                            for drop in drops
                        ],
                    }
                )
            )
    return (
        pl.concat(frames)
        .unique("doc_id", keep="first", maintain_order=True)
        .join(problem.scores.select("doc_id"), on="doc_id", how="semi")
    )
