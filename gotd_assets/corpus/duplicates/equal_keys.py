"""Rows whose keys are equal, among more keys than one process can hold.

A key is a row of 32-bit words that lie evenly over all values, as those of a hash do. Whoever reads a shard writes its keys
sorted to a file of its own (`write_keys`). Equal ones have the same first word, so they are looked for range by range of that
word, each over the files of all shards: a search for both ends of the range in every file, and a sort of what is between.
There are as many ranges as it takes for each to hold about two million keys, whatever the number of rows. A file may hold
several sets of keys, of which each is searched by itself.
"""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Words = npt.NDArray[np.uint32]
    Rows = npt.NDArray[np.int64]

_KEYS_PER_RANGE = 2**21
_BITS = 32


def words_of_bytes(bytes_of_keys: npt.NDArray[np.uint8]) -> Words:
    """Keys of B bytes each, shape (n, B), as one set of B // 4 words, the first bytes first: shape (1, B // 4, n)."""
    big_endian = np.ascontiguousarray(bytes_of_keys).view(">u4")
    return big_endian.T[np.newaxis].astype(np.uint32)


def words_of_numbers(keys: npt.NDArray[np.uint64]) -> Words:
    """Keys of 64 bits, shape (n, sets), as sets of two words: shape (sets, 2, n)."""
    halves = [keys.T >> np.uint64(_BITS), keys.T & np.uint64(2**_BITS - 1)]
    return np.stack(halves, axis=1).astype(np.uint32)


def write_keys(path: Path, keys: Words, rows: npt.NDArray[np.integer[Any]]) -> None:
    """Write the `keys` (sets, words, n) of a shard's `rows` (n,), which ascend from its first, 0."""
    sorted_keys = np.empty((keys.shape[0], keys.shape[1] + 1, keys.shape[2]), dtype=np.uint32)
    for number, words in enumerate(keys):
        order = np.argsort(words[0], kind="stable")
        sorted_keys[number, :-1] = words[:, order]
        sorted_keys[number, -1] = rows[order]
    # A worker that was lost may write while the one that took its place does.
    with replaced(path) as partial, partial.open("wb") as file:
        np.save(file, sorted_keys)


@dataclasses.dataclass(frozen=True)
class KeyRange:
    """What is searched at a time: the `number`-th range of the keys of a set."""

    of_set: int
    number: int


@dataclasses.dataclass(frozen=True)
class EqualKeys:
    """Finds rows with equal keys in a range.

    Attributes:
        files: that `write_keys` wrote, one for each shard, in order.
        firsts: number of the first row of each shard.
        ranges: into how many the keys of a set are cut.
    """

    files: Sequence[Path]
    firsts: Sequence[int]
    ranges: int

    @classmethod
    def among(cls, files: Sequence[Path], firsts: Sequence[int], keys: int) -> EqualKeys:
        """A finder among so many `keys` of a set."""
        return cls(files, firsts, max(1, -(-keys // _KEYS_PER_RANGE)))

    def parts(self, sets: int) -> list[KeyRange]:
        """All that has to be searched."""
        return [KeyRange(of_set, number) for of_set in range(sets) for number in range(self.ranges)]

    def __call__(self, part: KeyRange) -> Rows:
        """Every row that has an earlier one of the same key, with the first and the last of those: shape (3, found)."""
        read = [self._read(file, part) for file in self.files]
        rows = np.concatenate(
            [words[-1].astype(np.int64) + first for words, first in zip(read, self.firsts, strict=True)]
        )
        words = np.concatenate([words[:-1] for words in read], axis=1)
        del read
        # Shards come in order and rows in theirs, so a stable sort leaves rows of one key ascending.
        order = np.lexsort(words[::-1])
        is_same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
        for word in words:
            ordered = word[order]
            is_same &= ordered[1:] == ordered[:-1]
        repeats = np.flatnonzero(is_same) + 1
        begins = np.flatnonzero(np.concatenate([[True], ~is_same]))
        first = begins[np.searchsorted(begins, repeats, side="right") - 1]
        return rows[order[np.stack([repeats, first, repeats - 1])]]

    def _read(self, file: Path, part: KeyRange) -> Words:
        """The words of one shard's keys in the range, and its rows: shape (words + 1, n)."""
        try:
            words = np.load(file, mmap_mode="r")[part.of_set]
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"{file}, keys of documents that this step wrote, cannot be read on {socket.gethostname()}: {error}; on a "
                "cluster every node needs the project's folder at the same path"
            ) from error
        begin, end = (self._place(words[0], number) for number in (part.number, part.number + 1))
        # A copy: what is mapped counts as memory of the process for as long as it is.
        return np.array(words[:, begin:end])

    def _place(self, ascending: Words, number: int) -> int:
        """Where the range of that number begins."""
        least = -(-(number << _BITS) // self.ranges)
        # The end of the last range is no number of 32 bits.
        return len(ascending) if least >= 1 << _BITS else int(np.searchsorted(ascending, np.uint32(least)))
