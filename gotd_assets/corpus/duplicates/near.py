"""Pairs of similar texts: MinHash signatures by rensa, bands joined in NumPy, every candidate pair checked exactly.

A text's shingles are the runs of three words, case and punctuation aside. Two texts are near-duplicates if the Jaccard
similarity of their sets of shingles reaches the threshold (Broder 1997). Locality-sensitive hashing with r rows in a
band and 128 // r bands proposes a pair of similarity s with probability 1 − (1 − sʳ)^(128 // r); r is the largest
that proposes a pair right at the threshold with probability 0.95.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.corpus.duplicates.shingles import shingles

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

PERMUTATIONS = 128
_SEED = 20240507
_RECALL = 0.95


def rows_per_band(threshold: float) -> int:
    """The r of the module's text."""
    fitting = [r for r in range(1, 33) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= _RECALL]
    return max(fitting, default=1)


def bands(threshold: float) -> int:
    """How many keys a text has."""
    return PERMUTATIONS // rows_per_band(threshold)


def band_keys(texts: pl.Series, threshold: float) -> npt.NDArray[np.uint64]:
    """One key per text and band, shape (n, bands); equal keys of a band make two texts a candidate pair."""
    from rensa import RMinHash

    rows, number = rows_per_band(threshold), bands(threshold)
    keys = np.zeros((len(texts), number), dtype=np.uint64)
    begin = 0
    for part in shingles(texts):
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            part.hashes, part.offsets.astype(np.uint64), PERMUTATIONS, _SEED
        )
        flat: npt.NDArray[Any] = np.fromiter(
            itertools.chain.from_iterable(matrix.to_rows()), dtype=np.uint64, count=len(part) * PERMUTATIONS
        )
        signatures = flat.reshape(-1, PERMUTATIONS)[:, : number * rows].reshape(-1, number, rows)
        mixed = keys[begin : begin + len(part)]
        for row in range(rows):
            # Multiplicative mixing (splitmix64's odd constant); overflow wraps, as it should.
            mixed ^= signatures[:, :, row]
            mixed *= np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        begin += len(part)
    return keys
