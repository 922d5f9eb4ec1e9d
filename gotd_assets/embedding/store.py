"""Vectors by doc_id, kept across runs: append-only segments, one folder per encoder version.

A segment is a pair of files written under temporary names and renamed, the ids last; a segment without ids does not
exist. A lock per encoder version lets one process at a time embed, so that two runs never compute the same vector
twice; reading needs no lock, as segments never change.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.artifacts.atomic import replaced, sweep
from gotd_assets.artifacts.digests import DIGEST_BYTES, Digests, SeenDigests, digests_of
from gotd_assets.artifacts.lock import held

if TYPE_CHECKING:
    import numpy.typing as npt

ID_BYTES = DIGEST_BYTES
_ROW_BITS = 32
SEGMENT_ROWS = 4096
"""Documents embedded between two writes at most: what a killed run loses; slow encoders hand on fewer at a time."""


class VectorStore:
    """The vectors of one encoder version in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # Their numbers by name. A place is the number of a segment and a row of it.
        self._segments: dict[str, int] = {}
        self._places = SeenDigests()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for adding; waits for another process to finish; a killed holder frees it."""
        with held(self.folder / "lock"):
            sweep(self.folder)
            self.refresh()
            yield

    def refresh(self) -> None:
        """Learn of segments that were added since."""
        for path in sorted(self.folder.glob("ids-*.npy")):
            name = path.stem.removeprefix("ids-")
            if name not in self._segments:
                self._met(name, np.load(path).view(f"S{DIGEST_BYTES}").ravel())

    def missing(self, doc_ids: pl.Series) -> pl.Series:
        """Which of `doc_ids` have no vector yet, as a Boolean mask."""
        return pl.Series(self._places.find(digests_of(doc_ids.to_list())) < 0)

    def add(self, doc_ids: pl.Series, vectors: npt.NDArray[Any]) -> None:
        """Append a segment of documents that were `missing`; call it while `writing`, here or in a worker's behalf."""
        name = hashlib.sha256(id_bytes(doc_ids).tobytes()).hexdigest()[:32]
        _write(self.folder, f"vectors-{name}.npy", vectors)
        _write(self.folder, f"ids-{name}.npy", id_bytes(doc_ids))
        self._met(name, digests_of(doc_ids.to_list()))

    def get(self, doc_ids: pl.Series) -> npt.NDArray[Any]:
        """Vectors (n, D) of `doc_ids`, all of which must be there.

        Raises:
            KeyError: a document has none.
        """
        places = self._places.find(digests_of(doc_ids.to_list()))
        if (places < 0).any():
            raise KeyError(f"{int((places < 0).sum())} of {len(doc_ids)} documents have no vector in {self.folder}")
        numbers, rows = places >> _ROW_BITS, places & ((1 << _ROW_BITS) - 1)
        names = list(self._segments)
        result: npt.NDArray[Any] | None = None
        for number in np.unique(numbers).tolist():
            # Opened when it is needed: there may be more than a process may have open.
            vectors = np.load(self.folder / f"vectors-{names[number]}.npy", mmap_mode="r")
            if result is None:
                result = np.empty((len(doc_ids), vectors.shape[1]), dtype=vectors.dtype)
            of_segment = numbers == number
            result[of_segment] = vectors[rows[of_segment]]
        if result is None:
            raise KeyError("no document was asked for")
        return result

    def _met(self, name: str, digests: Digests) -> None:
        number = self._segments.setdefault(name, len(self._segments))
        self._places.meet(digests, (number << _ROW_BITS) + np.arange(len(digests)))


def id_bytes(doc_ids: pl.Series) -> npt.NDArray[np.uint8]:
    """doc_ids (32 hex digits) as (n, 16) bytes."""
    return digests_of(doc_ids.to_list()).view(np.uint8).reshape(-1, ID_BYTES)


def hex_ids(ids: npt.NDArray[np.uint8]) -> pl.Series:
    """(n, 16) bytes as doc_ids (32 hex digits)."""
    digits = np.frombuffer(ids.tobytes().hex().encode("ascii"), dtype=f"S{2 * ID_BYTES}")
    return pl.Series("doc_id", digits.astype(f"U{2 * ID_BYTES}"), dtype=pl.String)


def _write(folder: Path, name: str, array: npt.NDArray[Any]) -> None:
    with replaced(folder / name) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
