"""RTP: what a classifier finds least toxic."""

import polars as pl

from gotd_assets.corpus.shards import iter_documents
from gotd_assets.errors import InputError
from gotd_assets.selection.problem import SelectionProblem


def rtp(problem: SelectionProblem) -> pl.DataFrame:
    """RTP (Gehman et al. 2020): candidates with the lowest toxicity by a classifier.

    It knows no target, and so no direction. Whole shards are scored, not only what may be selected for this target, so
    that every target finds the scores again.

    Raises:
        InputError: there is no classifier, or texts are missing.
    """
    if problem.toxicity is None or not problem.documents:
        raise InputError("method 'rtp' needs the texts of candidates and a classifier: set toxicity.model")
    frames = [
        pl.DataFrame({"doc_id": shard.get_column("doc_id"), "score": problem.toxicity(shard)})
        for folder in problem.documents.values()
        for shard in iter_documents(folder, ["doc_id", "text"])
    ]
    return (
        pl.concat(frames)
        .unique("doc_id")
        .join(problem.scores.select("doc_id"), on="doc_id", how="semi")
        .with_columns(reason=pl.format("toxicity {}", pl.col("score").round_sig_figs(3)))
    )
