"""DSIR: importance resampling on hashed n-grams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem

_SMOOTHING = 1e-8  # what the authors' package adds to a probability before its logarithm
_NGRAMS = 2
_MIN_WORDS = 100  # the authors' default


def dsir(problem: SelectionProblem) -> pl.DataFrame:
    """DSIR (Xie et al. 2023): resample candidates by the ratio of n-gram probabilities in target and pool.

    Features (hashed unigrams and bigrams) are counted by the authors' package `data-selection`. The score is the
    negative of log weight plus Gumbel noise, so that the lowest scores are a draw without replacement by weight.
    Weights are sums over n-grams, so short documents crowd in; as in the package they are kept back (step 2 here).

    Raises:
        InputError: texts are missing.
    """
    texts = problem.target_texts
    if texts is None or not problem.documents:
        raise InputError("method 'dsir' needs the texts of candidates and target")
    settings = problem.settings.dsir
    target = np.zeros(settings.buckets, dtype=np.int64)
    for text in texts:
        _count(text, target)
    raw = np.zeros(settings.buckets, dtype=np.int64)
    for shard in problem.documents_of_candidates(["text"]):
        for text in shard.get_column("text"):
            _count(text, raw)
    difference = np.log(target / target.sum() + _SMOOTHING) - np.log(raw / raw.sum() + _SMOOTHING)
    frames = []
    for shard in problem.documents_of_candidates(["text"]):
        features = (_count(text, np.zeros(settings.buckets, dtype=np.int64)) for text in shard.get_column("text"))
        figures = [(float(difference @ counts), int(counts.sum())) for counts in features]
        weights, ngrams = np.array(figures, dtype=np.float64).reshape(-1, 2).T
        # n words make n unigrams and n − 1 bigrams.
        words = (ngrams + 1) // _NGRAMS
        frames.append(pl.DataFrame({"doc_id": shard.get_column("doc_id"), "weight": weights, "words": words}))
    weighted = pl.concat(frames).unique("doc_id").sort("doc_id")
    limit = settings.min_tokens
    if limit is None:
        limit = min(_MIN_WORDS, int(np.median(weighted.get_column("words").to_numpy())))
    noise = pl.Series(np.random.default_rng(problem.seed).gumbel(size=weighted.height))
    short = pl.col("words") < limit
    return weighted.select(
        "doc_id",
        score=-(problem.sign * pl.col("weight") + noise),
        step=pl.when(short).then(2).otherwise(1).cast(pl.Int32),
        reason=pl.when(short)
        .then(pl.format("fewer than {} words", pl.lit(limit)))
        .otherwise(pl.format("log importance weight {}", pl.col("weight").round(3))),
    )


def _count(text: str, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    from data_selection.hashed_ngram_dsir import get_ngram_counts

    counted: npt.NDArray[Any] = get_ngram_counts(text, n=_NGRAMS, num_buckets=len(counts), counts=counts)
    return counted
