"""Vectors of an artifact, shard by shard, memory-mapped."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.embedding.store import hex_ids
from gotd_assets.errors import ArtifactError

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclasses.dataclass(frozen=True, eq=False)
class VectorShard:
    """`ids` (n, 16) bytes and, row by row, `vectors` (n, D), both memory-mapped."""

    ids: npt.NDArray[np.uint8]
    vectors: npt.NDArray[Any]

    def doc_ids(self) -> pl.Series:
        """The ids as 32 hex digits each."""
        return hex_ids(self.ids)


class VectorShards(Sequence[VectorShard]):
    """The shards of one embeddings artifact, in document order."""

    def __init__(self, paths: Sequence[tuple[Path, Path]]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        ids, vectors = self._paths[index]
        try:
            return VectorShard(np.load(ids, mmap_mode="r"), np.load(vectors, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"shard {vectors} cannot be read on {socket.gethostname()}: {error}; on a cluster every node needs the "
                "project's folder at the same path; if the file is gone, `gotd verify` names what else is"
            ) from error

    def single(self) -> Iterator[VectorShards]:
        """Every shard, alone."""
        return (VectorShards([pair]) for pair in self._paths)

    @property
    def vectors(self) -> list[npt.NDArray[Any]]:
        """The (n, D) arrays alone."""
        return [shard.vectors for shard in self]

    @property
    def n_rows(self) -> int:
        """Number of vectors."""
        return sum(len(shard.ids) for shard in self)

    def all_doc_ids(self) -> pl.Series:
        """Every doc_id in order."""
        parts = [shard.doc_ids() for shard in self]
        return pl.concat(parts) if parts else pl.Series("doc_id", [], dtype=pl.String)


def open_vectors(path: Path) -> VectorShards:
    """The vectors in folder `path`.

    Raises:
        ArtifactError: ids and vectors do not come in pairs.
    """
    vectors = sorted(path.glob("vectors-*.npy"))
    pairs = [(file.with_name(file.name.replace("vectors-", "ids-")), file) for file in vectors]
    for ids, file in pairs:
        if not ids.is_file():
            raise ArtifactError(f"{file} has no {ids.name} beside it: the artifact is damaged; materialise it again")
    return VectorShards(pairs)


def unit_rows(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """`vectors` (n, D) as float32 of length 1, so that products are cosines; zero vectors stay zero, NaN stays NaN."""
    single = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(single, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(single, norms, out=np.zeros_like(single), where=norms != 0)
    return unit
