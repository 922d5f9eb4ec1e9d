"""Pairs of similar texts: MinHash signatures by rensa, bands joined in Polars, every candidate pair checked exactly.

A text's shingles are the runs of three words, case and punctuation aside. Two texts are near-duplicates if the Jaccard
similarity of their sets of shingles reaches the threshold (Broder 1997). Locality-sensitive hashing with r rows in a
band and 128 // r bands proposes a pair of similarity s with probability 1 − (1 − sʳ)^(128 // r); r is the largest
that proposes a pair right at the threshold with probability 0.95.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

PERMUTATIONS = 128
_SEED = 20240507
_SHINGLE_WORDS = 3
_WORD = re.compile(r"\w+")
_RECALL = 0.95


def shingles(text: str) -> list[str]:
    """The runs of three words of `text`, lower case; all of it if it has fewer (or no) words."""
    words = _WORD.findall(text.lower())
    if len(words) < _SHINGLE_WORDS:
        return [" ".join(words) or text]
    return [" ".join(run) for run in zip(words, words[1:], words[2:], strict=False)]


def jaccard(left: str, right: str) -> float:
    """Jaccard similarity of the shingles of two texts."""
    a, b = set(shingles(left)), set(shingles(right))
    return len(a & b) / len(a | b)


def rows_per_band(threshold: float) -> int:
    """The r of the module's text."""
    fitting = [r for r in range(1, 33) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= _RECALL]
    return max(fitting, default=1)


def band_keys(texts: Sequence[str], threshold: float) -> np.ndarray:
    """One uint64 key per text and band, shape (n, bands); equal keys of a band make two texts a candidate pair."""
    from rensa import RMinHash

    rows = rows_per_band(threshold)
    bands = PERMUTATIONS // rows
    if not texts:
        return np.empty((0, bands), dtype=np.uint64)
    matrix = RMinHash.digest_matrix_from_token_sets([shingles(text) for text in texts], PERMUTATIONS, _SEED)
    signatures = np.asarray(matrix.to_rows(), dtype=np.uint64)[:, : bands * rows].reshape(-1, bands, rows)
    keys = np.zeros(signatures.shape[:2], dtype=np.uint64)
    for row in range(rows):
        # Multiplicative mixing (Knuth's and splitmix64's odd constants); overflow wraps, as it should.
        keys = (keys ^ signatures[:, :, row]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def candidate_pairs(keys: np.ndarray) -> pl.DataFrame:
    """Distinct pairs (later, earlier) of row numbers that share a band: each with the first and the previous of it."""
    import polars as pl

    found = []
    for band in range(keys.shape[1]):
        frame = pl.DataFrame({"key": keys[:, band]}).with_row_index("later")
        shared = frame.filter(pl.col("key").is_duplicated())
        head = pl.col("later").first().over("key").alias("earlier")
        previous = pl.col("later").shift(1).over("key").alias("earlier")
        found += [shared.select("later", head), shared.select("later", previous)]
    pairs = pl.concat(found).drop_nulls().filter(pl.col("earlier") < pl.col("later"))
    return pairs.unique().sort("later", "earlier")


def cross_pairs(keys: np.ndarray, references: np.ndarray) -> pl.DataFrame:
    """Distinct pairs (later: row of `keys`, earlier: row of `references`) that share a band."""
    import polars as pl

    found = []
    for band in range(keys.shape[1]):
        left = pl.DataFrame({"key": keys[:, band]}).with_row_index("later")
        right = pl.DataFrame({"key": references[:, band]}).with_row_index("earlier")
        found.append(left.join(right, on="key").select("later", "earlier"))
    return pl.concat(found).unique().sort("later", "earlier")
