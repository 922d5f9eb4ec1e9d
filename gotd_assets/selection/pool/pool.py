"""The pool as the transport problem sees it: vectors of every source, without the documents that are duplicates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.embedding.vectors import VectorShard, VectorShards, open_vectors

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.transport import Potentials


Vectors: TypeAlias = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class PoolShard:
    """Part of one source: `doc_ids` (n,) hex strings, row by row those of `vectors` (n, D)."""

    source: str
    doc_ids: pl.Series
    vectors: Vectors


@dataclasses.dataclass(frozen=True)
class _PoolPart:
    """Where a shard of the pool is: `shard` holds it alone, of `length` rows less `left_out` (k,), which are few."""

    source: str
    shard: VectorShards
    length: int
    left_out: npt.NDArray[np.int64]

    def opened(self) -> VectorShard:
        found: VectorShard = self.shard[0]
        return found

    def kept(self) -> npt.NDArray[np.int64]:
        """Rows that are in the pool."""
        return np.delete(np.arange(self.length), self.left_out)


class Pool(Sequence[PoolShard]):
    """Every candidate once, shard by shard; shards are read from disk when asked for, and can be read again."""

    def __init__(self, shards: Sequence[_PoolPart]) -> None:
        self._shards = shards

    @classmethod
    def open(cls, embeddings: Mapping[str, Path], left_out: Path) -> Self:
        """The pool of `embeddings` (source name to artifact folder) without the rows that `left_out` lists.

        Args:
            embeddings: folders written by the embedding room, in the order of the pool.
            left_out: Parquet file with columns `doc_id` and `source`: rows that are not in the pool.
        """
        dropped = read_parquet(left_out, columns=["doc_id", "source"])
        shards = []
        for source, path in embeddings.items():
            gone = dropped.filter(pl.col("source") == source).get_column("doc_id")
            for shard in open_vectors(path).single():
                ids = shard[0].doc_ids()
                rows = ids.is_in(gone.implode()).arg_true().to_numpy().astype(np.int64)
                if len(rows) < len(ids):
                    shards.append(_PoolPart(source, shard, len(ids), rows))
        return cls(shards)

    @classmethod
    def of(cls, embeddings: Mapping[str, Artifact], pool: Artifact) -> Self:
        """The pool of the artifacts of `candidate_embeddings` by source and of `candidate_pool`."""
        return cls.open({source: made.path for source, made in embeddings.items()}, pool.file("left_out.parquet"))

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, index: Any) -> Any:
        part = self._shards[index]
        doc_ids = pl.Series("doc_id", part.opened().doc_ids())
        return PoolShard(
            source=part.source,
            doc_ids=doc_ids.gather(part.kept()) if len(part.left_out) else doc_ids,
            vectors=self.vectors_of_shard(index),
        )

    def vectors_of_shard(self, index: int) -> Vectors:
        """Vectors (n, D) of one shard, without its doc_ids: making those takes as long as a pass over the vectors."""
        part = self._shards[index]
        vectors: Vectors = part.opened().vectors
        return vectors[part.kept()] if len(part.left_out) else vectors

    def chosen(self, numbers: Sequence[int]) -> Self:
        """The pool of these of its shards alone."""
        return type(self)([self._shards[number] for number in numbers])

    @property
    def lengths(self) -> list[int]:
        """Candidates of each shard."""
        return [part.length - len(part.left_out) for part in self._shards]

    def __iter__(self) -> Iterator[PoolShard]:
        return (self[index] for index in range(len(self)))

    @property
    def n_rows(self) -> int:
        """Number of candidates."""
        return sum(self.lengths)

    @property
    def vectors(self) -> PoolVectors:
        """The vectors alone, as a re-readable sequence of (n, D) arrays: a source for the transport room."""
        return PoolVectors(self)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> Vectors:
        """Vectors (n, D) float32 at `rows` (n,), counted in pool order."""
        order = np.argsort(rows, kind="stable")
        ascending, parts, start = rows[order], [], 0
        for part, length in zip(self._shards, self.lengths, strict=True):
            begin, end = np.searchsorted(ascending, (start, start + length))
            if end > begin:
                local = part.kept()[ascending[begin:end] - start]
                parts.append(np.asarray(part.opened().vectors[local], dtype=np.float32))
            start += length
        found = np.concatenate(parts)
        result = np.empty_like(found)
        result[order] = found
        return result

    def doc_ids(self) -> pl.DataFrame:
        """`doc_id` and `source` of every candidate, in pool order."""
        frames = [
            pl.DataFrame(
                {"doc_id": shard.doc_ids, "source": pl.Series([shard.source]).new_from_index(0, len(shard.doc_ids))}
            )
            for shard in self
        ]
        return pl.concat(frames) if frames else pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String})


class PoolVectors(Sequence[Vectors]):
    """The vectors of a pool, one (n, D) array per shard."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __len__(self) -> int:
        return len(self._pool)

    def __getitem__(self, index: Any) -> Any:
        return self._pool.vectors_of_shard(index)

    @property
    def lengths(self) -> list[int]:
        """Candidates of each shard, which are known without reading it."""
        return self._pool.lengths

    def chosen(self, numbers: Sequence[int]) -> PoolVectors:
        """Those of some shards alone."""
        return PoolVectors(self._pool.chosen(numbers))


def scores_of(pool: Pool, potentials: Potentials) -> pl.DataFrame:
    """doc_id, source and score (float32, low helps most) of every candidate, by `potentials`."""
    return pl.concat(scores_by_shard(pool, potentials))


def scores_by_shard(pool: Pool, potentials: Potentials) -> Iterator[pl.DataFrame]:
    """What `scores_of` gives, shard by shard."""
    for shard in pool:
        score = potentials.scores(shard.vectors).numpy()
        yield pl.DataFrame({"doc_id": shard.doc_ids, "source": shard.source, "score": score})


def vectors_of(doc_ids: pl.Series, shards: Sequence[Any]) -> Vectors:
    """Vectors (n, D) float32 of `doc_ids`, in their order, looked up in `shards` (of a pool or of one artifact).

    Raises:
        KeyError: a doc_id has no vector.
    """
    wanted = pl.DataFrame({"doc_id": doc_ids}).with_row_index("position")
    found: Vectors | None = None
    n_found = 0
    for shard in shards:
        ids = shard.doc_ids if isinstance(shard, PoolShard) else pl.Series(shard.doc_ids())
        matches = pl.DataFrame({"doc_id": ids}).with_row_index("row").join(wanted, on="doc_id")
        if matches.height:
            if found is None:
                found = np.empty((len(doc_ids), shard.vectors.shape[1]), dtype=np.float32)
            found[matches["position"].to_numpy()] = shard.vectors[matches["row"].to_numpy()]
            n_found += matches["position"].n_unique()
    if found is None or n_found < len(doc_ids):
        raise KeyError(f"{len(doc_ids) - n_found} of {len(doc_ids)} documents have no vector")
    return found
