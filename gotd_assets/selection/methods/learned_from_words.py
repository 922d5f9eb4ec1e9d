"""Classifiers of words, taught on a sample: the rest of the pool is ranked by its texts alone, at the cost of reading them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.selection.pool.pool import vectors_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem

_BUCKETS = 1 << 18
_HELD_OUT = 0.2
_LEAST = 20
_PENALTY = 1.0

Predict: TypeAlias = "Callable[[Any], npt.NDArray[np.float64]]"
"""What a taught model says of hashed words (n, buckets), (n,)."""


def betr(problem: SelectionProblem) -> pl.DataFrame:
    """BETR (Mizrahi et al. 2025): a classifier of words taught which documents of a sample are nearest to the target.

    Each target example ranks the sample by similarity; a document counts as much as its best rank with any example. The
    best share of the sample (`selection.learned.positive`) is told from the rest by logistic regression on hashed words
    and pairs of words (theirs: fastText), whose log odds rank the whole pool.

    Raises:
        InputError: texts are missing, or the sample is too small.
    """
    sample = _sample(problem)
    vectors = np.ascontiguousarray(vectors_of(sample, problem.pool), dtype=np.float32)
    ranks = best_ranks(vectors, np.ascontiguousarray(problem.target, dtype=np.float32))
    wanted = max(1, round(problem.settings.learned.positive * len(sample)))
    # Best ranks tie: the nearer one counts.
    distances = _nearest(vectors, np.asarray(problem.target, dtype=np.float32))
    order = np.lexsort((sample.to_numpy().astype(str), distances * problem.sign, ranks * problem.sign))
    labels = np.zeros(len(sample))
    labels[order[:wanted]] = 1.0
    return _ranked(problem, sample, labels, _log_odds)


def gotd_distilled(problem: SelectionProblem) -> pl.DataFrame:
    """GOT-D's scores of a sample, predicted for the whole pool from its words.

    Ridge regression on hashed words and pairs of words, weighted by how rare they are. `reason` states the rank correlation
    with GOT-D's own scores on a fifth of the sample that the model was not taught on.

    Raises:
        InputError: texts are missing, or the sample is too small.
    """
    sample = _sample(problem)
    scores = sample.to_frame("doc_id").join(
        problem.scores.select("doc_id", "score"), on="doc_id", maintain_order="left"
    )
    wanted = -problem.sign * scores.get_column("score").to_numpy().astype(np.float64)
    return _ranked(problem, sample, wanted, _ridge)


def best_ranks(vectors: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Of each of `vectors` (n, D) the best place, from 1, that any of `target` (M, D) gives it by distance, (n,)."""
    best = np.full(len(vectors), len(vectors), dtype=np.int64)
    squared = (vectors**2).sum(axis=1)
    for example in target:
        distances = squared - 2 * vectors @ example
        places = np.empty(len(vectors), dtype=np.int64)
        places[np.argsort(distances, kind="stable")] = np.arange(1, len(vectors) + 1)
        best = np.minimum(best, places)
    return best


def _nearest(vectors: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Squared distance (n,) to the nearest of `target`."""
    import faiss

    found: npt.NDArray[Any] = faiss.knn(vectors, np.ascontiguousarray(target), 1)[0][:, 0]
    return found


def _sample(problem: SelectionProblem) -> pl.Series:
    """doc_ids drawn from the candidates by the seed, in order.

    Raises:
        InputError: there are no texts, or too few candidates.
    """
    if not problem.documents:
        raise InputError("methods 'betr' and 'gotd-distilled' need the texts of candidates")
    doc_ids = problem.scores.get_column("doc_id").unique().sort()
    if len(doc_ids) < _LEAST:
        raise InputError(
            f"methods 'betr' and 'gotd-distilled' learn from a sample of the candidates, and {len(doc_ids)} are too few: "
            f"add sources ({_LEAST} candidates are the least), or take 'gotd'"
        )
    size = min(problem.settings.learned.sample, len(doc_ids))
    rows = np.random.default_rng(problem.seed).choice(len(doc_ids), size, replace=False)
    return doc_ids.gather(np.sort(rows))


def _ranked(
    problem: SelectionProblem,
    sample: pl.Series,
    wanted: npt.NDArray[np.float64],
    teach: Callable[[Any, npt.NDArray[np.float64]], Predict],
) -> pl.DataFrame:
    """Every candidate by what a model taught on `sample` predicts from its words, the highest first."""
    from scipy.stats import spearmanr
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashing = HashingVectorizer(n_features=_BUCKETS, ngram_range=(1, 2), alternate_sign=False, norm=None)
    values = pl.DataFrame({"doc_id": sample, "wanted": wanted})
    taught = (
        pl.concat([shard.join(values, on="doc_id") for shard in problem.documents_of_candidates(["text"])])
        .unique("doc_id")
        .sort("doc_id")
    )
    counts = hashing.transform(taught.get_column("text").to_list())
    weighting = TfidfTransformer(sublinear_tf=True).fit(counts)
    words, targets = weighting.transform(counts), taught.get_column("wanted").to_numpy()
    apart = np.random.default_rng((problem.seed, 1)).random(len(targets)) < _HELD_OUT
    agreement = float("nan")
    if apart.sum() > 2 and len(np.unique(targets[apart])) > 1 and len(np.unique(targets[~apart])) > 1:
        agreement = float(spearmanr(teach(words[~apart], targets[~apart])(words[apart]), targets[apart]).statistic)
    predict = teach(words, targets)
    frames = [
        pl.DataFrame(
            {
                "doc_id": part.get_column("doc_id"),
                "score": -predict(weighting.transform(hashing.transform(part.get_column("text").to_list()))),
            }
        )
        for part in _parts(problem)
    ]
    reason = f"by its words; rank correlation {agreement:.2f} on a fifth of {len(targets)} documents kept apart"
    return pl.concat(frames).unique("doc_id", keep="first", maintain_order=True).with_columns(reason=pl.lit(reason))


def _parts(problem: SelectionProblem) -> Iterator[pl.DataFrame]:
    return itertools.chain.from_iterable(
        shard.iter_slices(4096) for shard in problem.documents_of_candidates(["text"]) if shard.height
    )


def _log_odds(words: Any, labels: npt.NDArray[np.float64]) -> Predict:
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        raise InputError("selection.learned.positive leaves none of the sample on one side: choose another share")
    model = LogisticRegression(class_weight="balanced", max_iter=1000, tol=1e-6).fit(words, labels)
    return lambda others: np.asarray(model.decision_function(others), dtype=np.float64)


def _ridge(words: Any, values: npt.NDArray[np.float64]) -> Predict:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=_PENALTY, solver="sparse_cg", tol=1e-8).fit(words, values)
    return lambda others: np.asarray(model.predict(others), dtype=np.float64)
