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
from gotd_assets.artifacts.lock import held

if TYPE_CHECKING:
    import numpy.typing as npt

ID_BYTES = 16
SEGMENT_ROWS = 4096
"""Documents embedded between two writes at most: what a killed run loses; slow encoders hand on fewer at a time."""


class VectorStore:
    """The vectors of one encoder version in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._segments: dict[str, npt.NDArray[Any]] = {}
        self._index = pl.DataFrame(schema={"doc_id": pl.String, "segment": pl.String, "row": pl.Int64})

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for adding; waits for another process to finish; a killed holder frees it."""
        with held(self.folder / "lock"):
            sweep(self.folder)
            self.refresh()
            yield

    def refresh(self) -> None:
        """Learn of segments that were added since."""
        frames = [self._index]
        for path in sorted(self.folder.glob("ids-*.npy")):
            name = path.stem.removeprefix("ids-")
            if name not in self._segments:
                doc_ids = hex_ids(np.load(path))
                self._segments[name] = np.load(self.folder / f"vectors-{name}.npy", mmap_mode="r")
                frames.append(
                    pl.DataFrame({"doc_id": doc_ids}).with_columns(
                        segment=pl.lit(name), row=pl.int_range(pl.len(), dtype=pl.Int64)
                    )
                )
        self._index = pl.concat(frames).unique("doc_id", keep="first", maintain_order=True)

    def missing(self, doc_ids: pl.Series) -> pl.Series:
        """Which of `doc_ids` have no vector yet, as a Boolean mask."""
        return ~doc_ids.is_in(self._index.get_column("doc_id").implode())

    def add(self, doc_ids: pl.Series, vectors: npt.NDArray[Any]) -> None:
        """Append a segment of documents that were `missing`; call it while `writing`, here or in a worker's behalf."""
        name = hashlib.sha256(id_bytes(doc_ids).tobytes()).hexdigest()[:32]
        _write(self.folder, f"vectors-{name}.npy", vectors)
        _write(self.folder, f"ids-{name}.npy", id_bytes(doc_ids))
        self._segments[name] = np.load(self.folder / f"vectors-{name}.npy", mmap_mode="r")
        added = pl.DataFrame({"doc_id": doc_ids}).with_columns(
            segment=pl.lit(name), row=pl.int_range(pl.len(), dtype=pl.Int64)
        )
        self._index = pl.concat([self._index, added])

    def get(self, doc_ids: pl.Series) -> npt.NDArray[Any]:
        """Vectors (n, D) of `doc_ids`, all of which must be there."""
        located = pl.DataFrame({"doc_id": doc_ids}).join(self._index, on="doc_id", how="left", maintain_order="left")
        located = located.with_row_index("position")
        parts = list(located.group_by("segment", maintain_order=True))
        first = self._segments[str(parts[0][0][0])]
        result = np.empty((len(doc_ids), first.shape[1]), dtype=first.dtype)
        for (segment,), part in parts:
            result[part["position"].to_numpy()] = self._segments[str(segment)][part["row"].to_numpy()]
        return result


def id_bytes(doc_ids: pl.Series) -> npt.NDArray[np.uint8]:
    """doc_ids (32 hex digits) as (n, 16) bytes."""
    return np.frombuffer(bytes.fromhex("".join(doc_ids.to_list())), dtype=np.uint8).reshape(-1, ID_BYTES)


def hex_ids(ids: npt.NDArray[np.uint8]) -> pl.Series:
    """(n, 16) bytes as doc_ids (32 hex digits)."""
    digits = np.frombuffer(ids.tobytes().hex().encode("ascii"), dtype=f"S{2 * ID_BYTES}")
    return pl.Series("doc_id", digits.astype(f"U{2 * ID_BYTES}"), dtype=pl.String)


def _write(folder: Path, name: str, array: npt.NDArray[Any]) -> None:
    with replaced(folder / name) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
