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


def candidate_pairs(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Distinct pairs (later, earlier) of row numbers that share a band, ascending, shape (n, 2).

    Of the rows that share a band, each is paired with the first and with the one before it.
    """
    found = np.empty(0, dtype=np.int64)
    for band in range(keys.shape[1]):
        order = np.argsort(keys[:, band], kind="stable")
        ordered = keys[order, band]
        repeats = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        first = begins[np.searchsorted(begins, repeats, side="right") - 1]
        # A stable sort keeps equal keys in the order of rows. One number per pair sorts as the pair does.
        later = order[repeats] << 32
        found = np.union1d(found, np.concatenate([later | order[first], later | order[repeats - 1]]))
    return np.stack([found >> 32, found & 0xFFFFFFFF], axis=1)
