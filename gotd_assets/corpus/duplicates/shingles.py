"""Shingles: the runs of three words of a text as hashes, for many texts at once, and texts found by them.

A word is a run of letters, digits and underscores, in lower case; in scripts that have no spaces between words (Chinese,
Japanese, Thai and others) every character is one, so that a shingle is three characters there. A text of fewer than three words is one shingle. All
is done on the bytes of many texts together: the hash of a word is a polynomial in its bytes, so the difference of two
prefix sums (Karp and Rabin 1987), and the hash of a shingle mixes those of its words.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    Hashes = npt.NDArray[np.uint64]
    Rows = npt.NDArray[np.int64]

# Texts of a part are numbered in the low bits of a hash while their shingles are sorted.
_ROW_BITS = 13
_PART_BYTES = 2**21
_BASE = 0x9E3779B97F4A7C15
_MIX = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
_BITMAP_BITS = 24
# Scripts written without spaces between words. The long vowel mark and the iteration marks belong to no script alone.
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Yi}\p{Javanese}"
    r"\p{Balinese}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Cham}\p{Sundanese}\p{Tangut}\p{Nushu}\x{30fc}\x{3031}-\x{3035}\x{ff70}]"
)


@dataclasses.dataclass(frozen=True)
class Shingles:
    """Distinct shingles of n texts: those of text i are `hashes[offsets[i]:offsets[i + 1]]`, ascending.

    Attributes:
        hashes: uint64, their low 13 bits 0.
        offsets: int64, (n + 1,).
    """

    hashes: Hashes
    offsets: Rows

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, text: int) -> Hashes:
        """The shingles of one text."""
        return self.hashes[self.offsets[text] : self.offsets[text + 1]]


def shingles(texts: pl.Series) -> Iterator[Shingles]:
    """The shingles of `texts`, in parts of consecutive texts that together are all."""
    import polars as pl

    ends = texts.str.len_bytes().cast(pl.Int64).cum_sum().to_numpy()
    begin = 0
    while begin < len(texts):
        before = int(ends[begin - 1]) if begin else 0
        end = int(np.searchsorted(ends, before + _PART_BYTES, side="right"))
        end = min(max(end, begin + 1), begin + (1 << _ROW_BITS))
        yield _shingles(texts.slice(begin, end - begin))
        begin = end


def jaccard(left: Hashes, right: Hashes) -> float:
    """Jaccard similarity of the shingles of two texts."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / max(1, len(left) + len(right) - shared)


class ShingleIndex:
    """Texts by their shingles, to find those that others are similar to. Made of the parts that `shingles` gives."""

    def __init__(self, parts: list[Shingles]) -> None:
        self._sizes = np.concatenate([np.empty(0, np.int64), *(np.diff(part.offsets) for part in parts)])
        hashes = np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._texts = np.repeat(np.arange(len(self._sizes), dtype=np.int32), self._sizes)[order]
        # Most shingles of another text are in no text here, and most of those are told by a look at one bit.
        self._bitmap = np.zeros(1 << _BITMAP_BITS, dtype=np.bool_)
        self._bitmap[_high_bits(hashes)] = True

    def similar(self, others: Shingles, threshold: float) -> Iterator[tuple[int, int, float]]:
        """Every (text of `others`, text of the index, similarity) whose similarity reaches `threshold`, none missed."""
        places = np.flatnonzero(self._bitmap[_high_bits(others.hashes)])
        known = places[self._holds(others.hashes[places])]
        shared = np.bincount(np.searchsorted(others.offsets, known, side="right") - 1, minlength=len(others))
        # Of a pair of similarity s each has at least s of its shingles in common with the other.
        for text in np.flatnonzero(shared >= np.maximum(1, threshold * np.diff(others.offsets) - 1e-6)).tolist():
            own = others.of(text)
            begins, ends = np.searchsorted(self._hashes, own), np.searchsorted(self._hashes, own, side="right")
            met = [self._texts[begin:end] for begin, end in zip(begins, ends, strict=True) if end > begin]
            candidates, counts = np.unique(np.concatenate(met), return_counts=True)
            similarities = counts / (len(own) + self._sizes[candidates] - counts)
            for k in np.flatnonzero(similarities >= threshold).tolist():
                yield text, int(candidates[k]), float(similarities[k])

    def _holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        if not len(self._hashes):
            return np.zeros(len(hashes), dtype=np.bool_)
        places = np.searchsorted(self._hashes, hashes)
        places[places == len(self._hashes)] = 0
        return np.asarray(self._hashes[places] == hashes)


def _high_bits(hashes: Hashes) -> Hashes:
    return hashes >> np.uint64(64 - _BITMAP_BITS)


def _shingles(texts: pl.Series) -> Shingles:
    data = _joined(texts)
    is_gap = (data == ord(" ")) | (data == ord("\n"))
    begins = np.flatnonzero(~is_gap & np.concatenate([[True], is_gap[:-1]]))
    ends = np.flatnonzero(~is_gap & np.concatenate([is_gap[1:], [True]])) + 1
    words = _word_hashes(data, begins, ends)
    row = np.searchsorted(np.flatnonzero(data == ord("\n")), begins)
    # Two empty words after the last, which belong to no text.
    words, row = np.append(words, np.zeros(2, np.uint64)), np.append(row, [-1, -1])
    one, two, three = row[:-2], row[1:-1], row[2:]
    second, third = np.where(two == one, words[1:-1], 0), np.where(three == one, words[2:], 0)
    mixed = (words[:-2] * _MIX[0] + second) * _MIX[1] + third
    for constant in _MIX:
        mixed ^= mixed >> np.uint64(30)
        mixed *= constant
    is_first = np.concatenate([[True], one[1:] != one[:-1]]) if len(one) else np.empty(0, np.bool_)
    taken = (three == one) | is_first
    bits = np.uint64(_ROW_BITS)
    # The row in front, so that they sort by text; what goes for it are the lowest bits
    # (np.unique hashes instead, and takes thirty times as long).
    packed = np.sort((one[taken].astype(np.uint64) << (np.uint64(64) - bits)) | (mixed[taken] >> bits))
    packed = packed[np.concatenate([[True], packed[1:] != packed[:-1]])] if len(packed) else packed
    offsets = np.searchsorted(packed >> (np.uint64(64) - bits), np.arange(len(texts) + 1, dtype=np.uint64))
    return Shingles(packed << bits, offsets.astype(np.int64))


def _joined(texts: pl.Series) -> npt.NDArray[np.uint8]:
    """The bytes of all texts, a line each, with spaces where no words are."""
    import polars as pl

    words = texts.str.to_lowercase().str.replace_all(r"[^\w ]+", " ")
    is_unspaced = words.str.contains(_UNSPACED)
    if is_unspaced.any():
        apart = words.str.replace_all(f"({_UNSPACED})", " ${1} ")
        words = pl.select(pl.when(is_unspaced).then(apart).otherwise(words)).to_series()
    has_words = words.str.contains(r"\w")
    if not has_words.all():
        # A text without a word counts as one word.
        whole = texts.str.replace_all(r"\s", "_")
        words = pl.select(pl.when(has_words).then(words).otherwise(whole)).to_series()
    return np.frombuffer("\n".join(words.to_list()).encode(), dtype=np.uint8)


def _word_hashes(data: npt.NDArray[np.uint8], begins: Rows, ends: Rows) -> Hashes:
    size = max(_PART_BYTES, 1 << len(data).bit_length())
    powers, inverses = _powers(size)
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers[: len(data)], out=sums[1:])
    return (sums[ends] - sums[begins]) * inverses[begins]


@functools.lru_cache(maxsize=1)
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """The powers of the base and of its inverse modulo 2⁶⁴, from the zeroth."""
    powers, inverses = np.full((2, size), [[_BASE], [pow(_BASE, -1, 2**64)]], dtype=np.uint64)
    powers[0] = inverses[0] = 1
    return np.multiply.accumulate(powers), np.multiply.accumulate(inverses)
