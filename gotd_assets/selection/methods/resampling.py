"""DSIR: importance resampling on hashed n-grams."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem, ShardCandidates

_SMOOTHING = 1e-8  # what the authors' package adds to a probability before its logarithm
_MIN_WORDS = 100  # the authors' default
_PART = 1000


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
    features = HashedNgrams(settings.buckets)
    target = features.total(texts)
    raw = np.zeros(settings.buckets, dtype=np.int64)
    for counted in problem.over_shards(_Counted(settings.buckets), problem.shards_of_candidates(), "n-grams"):
        raw += counted.get_column("hits").to_numpy()
    difference = np.log(target / target.sum() + _SMOOTHING) - np.log(raw / raw.sum() + _SMOOTHING)
    weighing = _Weighed(settings.buckets, difference)
    frames = problem.over_shards(weighing, problem.shards_of_candidates(), "weights")
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


class _Counted:
    """How often each bucket is hit by the candidates of a shard."""

    def __init__(self, buckets: int) -> None:
        self._features = HashedNgrams(buckets)

    def __call__(self, candidates: ShardCandidates) -> pl.DataFrame:
        return pl.DataFrame({"hits": self._features.total(candidates.read(["text"]).get_column("text"))})


class _Weighed:
    """doc_id, sum of `log_ratios` (buckets,) over its n-grams and number of words, for every candidate of a shard."""

    def __init__(self, buckets: int, log_ratios: npt.NDArray[Any]) -> None:
        self._features = HashedNgrams(buckets)
        self._log_ratios = log_ratios

    def __call__(self, candidates: ShardCandidates) -> pl.DataFrame:
        texts = candidates.read(["text"])
        weights, words = self._features.weigh(texts.get_column("text"), self._log_ratios)
        return pl.DataFrame({"doc_id": texts.get_column("doc_id"), "weight": weights, "words": words})


class HashedNgrams:
    """The features of the authors' package: its words and its hash, each n-gram hashed once instead of at every place.

    Gives what `data_selection.hashed_ngram_dsir.get_ngram_counts` counts.

    Args:
        buckets: how many there are.
        remembered: n-grams whose bucket is kept; beyond that all are forgotten and hashed anew.
    """

    def __init__(self, buckets: int, remembered: int = 1_000_000) -> None:
        self._buckets = buckets
        self._remembered = remembered
        self._known: dict[str, int] = {}

    def total(self, texts: pl.Series) -> npt.NDArray[np.int64]:
        """How often each bucket is hit by an n-gram of `texts`, (buckets,)."""
        counts = np.zeros(self._buckets, dtype=np.int64)
        for part in _parts(texts):
            hits, _ = self._hits(part)
            counts += np.bincount(hits, minlength=self._buckets)
        return counts

    def weigh(self, texts: pl.Series, log_ratios: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Of each text the sum of `log_ratios` (buckets,) over its n-grams, (n,) float64, and its words, (n,) int64."""
        weights: list[npt.NDArray[Any]] = [np.empty(0)]
        words = [np.empty(0, dtype=np.int64)]
        for part in _parts(texts):
            hits, lengths = self._hits(part)
            # A text of n words has 2n − 1 n-grams; one without words has none.
            ngrams = np.maximum(2 * lengths - 1, 0)
            owner = np.repeat(np.arange(len(lengths)), ngrams)
            weights.append(np.bincount(owner, log_ratios[hits], minlength=len(lengths)))
            words.append(lengths)
        return np.concatenate(weights), np.concatenate(words)

    def _hits(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Bucket of every n-gram, text after text, and the number of words of each text."""
        from data_selection.hashed_ngram_dsir import hash_buckets, wpt

        known, buckets = self._known, self._buckets
        if len(known) > self._remembered:
            known.clear()
        hits: list[int] = []
        lengths = []
        for text in texts:
            words = wpt.tokenize(text.lower())
            lengths.append(len(words))
            for ngram in (*words, *map(" ".join, itertools.pairwise(words))):
                bucket = known.get(ngram)
                if bucket is None:
                    bucket = known[ngram] = hash_buckets(ngram, num_buckets=buckets)
                hits.append(bucket)
        return np.array(hits, dtype=np.int64), np.array(lengths, dtype=np.int64)


def _parts(texts: pl.Series) -> Iterator[list[str]]:
    return (texts[begin : begin + _PART].to_list() for begin in range(0, len(texts), _PART))
