"""Vectors of which words a document uses, alone or beside an encoder's: whether a method or its vectors are at fault."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.corpus.shards import scan_documents
from gotd_assets.embedding.store import id_bytes
from gotd_assets.embedding.vectors import VectorShard
from gotd_assets.selection.pool.pool import vectors_of

if TYPE_CHECKING:
    import numpy.typing as npt

# As many places as DSIR hashes its words and pairs of words to.
_PLACES = 10_000
_DIMENSION = 384
_SEED = 0
_WORD = r"(?u)\w+|[^\w\s]+"


def write_lexical_vectors(
    fitted: Sequence[Path], others: Sequence[Path], out: Path, beside: Sequence[VectorShard] = ()
) -> None:
    """Write vectors of every document to the folder `out`, to be read as precomputed ones.

    Words, signs and pairs of neighbours are hashed to places, their counts damped (1 + log) and weighted by how rare the
    place is among the `fitted` documents (tf-idf), brought to length one, and projected by a random Gaussian matrix, which
    nearly keeps distances (Johnson & Lindenstrauss 1984); then they have length one again.

    Args:
        fitted: folders of documents that say what is rare: the pool's.
        others: further folders of documents.
        out: gets `vectors.npy` (n, 384) float32 and `ids.npy` (n, 16) uint8.
        beside: vectors of length one, of all documents, that lexical ones are appended to with the same weight.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashing = HashingVectorizer(
        n_features=_PLACES, ngram_range=(1, 2), alternate_sign=False, norm=None, token_pattern=_WORD
    )
    known = _texts(fitted).unique("doc_id", keep="first", maintain_order=True)
    documents = pl.concat([known, _texts(others)]).unique("doc_id", keep="first", maintain_order=True)
    counts = hashing.transform(documents.get_column("text").to_list())
    weighting = TfidfTransformer(sublinear_tf=True).fit(counts[: known.height])
    vectors = _projected(weighting.transform(counts))
    if beside:
        own = vectors_of(documents.get_column("doc_id"), beside)
        vectors = np.concatenate([own, vectors], axis=1) * np.float32(math.sqrt(0.5))
    np.save(out / "vectors.npy", vectors)
    np.save(out / "ids.npy", id_bytes(documents.get_column("doc_id")))


def _texts(folders: Sequence[Path]) -> pl.DataFrame:
    """doc_id and text of the documents in `folders`."""
    empty = pl.DataFrame(schema={"doc_id": pl.String, "text": pl.String})
    return pl.concat([empty, *(scan_documents(folder).select("doc_id", "text").collect() for folder in folders)])


def _projected(weights: Any) -> npt.NDArray[np.float32]:
    """(n, D) of the sparse (n, places); a document without a word keeps the vector 0, which embedding quarantines."""
    matrix = np.random.default_rng(_SEED).standard_normal((_PLACES, _DIMENSION)).astype(np.float32)
    vectors: npt.NDArray[np.float32] = weights.astype(np.float32) @ matrix
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
    return vectors
