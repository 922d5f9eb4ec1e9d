"""Documents by row, counted through the shards of all sources: where they are, what they are called, their texts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.shards import DocumentShard, document_shards
from gotd_assets.execution.engine import Engine, mapped
from gotd_assets.execution.processes import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt
    import polars as pl

    Rows = npt.NDArray[np.int64]

_Result = TypeVar("_Result")
# Starting a process takes about as long as going through this much text.
_BYTES_PER_PROCESS = 24 * 2**20


@dataclasses.dataclass(frozen=True)
class DocumentRows:
    """Documents of several sources; of all of them together only where they are is held.

    Attributes:
        sources: their names, in declared order.
        ends: number of the row after the last of each source.
        shards: where they are.
        engine: goes through them.
    """

    sources: list[str]
    ends: list[int]
    shards: list[DocumentShard]
    engine: Engine

    @classmethod
    def open(cls, folders: Mapping[str, Path], engine: Engine | None) -> DocumentRows:
        """The documents of `folders`, by source.

        Raises:
            InputError: a folder holds no shard.
        """
        shards: list[DocumentShard] = []
        ends: list[int] = []
        for folder in folders.values():
            shards += document_shards(folder, ends[-1] if ends else 0)
            ends.append(shards[-1].stop)
        return cls(list(folders), ends, shards, engine or LocalEngine())

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @property
    def size(self) -> int:
        """Bytes of all shards, unpacked."""
        return sum(shard.size for shard in self.shards)

    def mapped(
        self, function: Callable[[DocumentShard], _Result], name: str
    ) -> Iterator[tuple[DocumentShard, _Result]]:
        """Every shard with `function(shard)`, in order, by as many workers as it pays to have."""
        return mapped(self.engine, function, self.shards, name=name, workers=1 + self.size // _BYTES_PER_PROCESS)

    def sizes(self, rows: Rows) -> npt.NDArray[np.float64]:
        """About how many bytes documents at `rows` have: the mean of their shard."""
        means = np.array([shard.size / max(shard.rows, 1) for shard in self.shards])
        stops = np.array([shard.stop for shard in self.shards])
        return means[np.searchsorted(stops, rows, side="right")]

    def values(self, column: str, rows: Rows) -> Iterator[tuple[Rows, pl.Series]]:
        """What the distinct, ascending `rows` have in `column`, a shard at a time, with the rows."""
        for shard in self.shards:
            begin, end = np.searchsorted(rows, [shard.first, shard.stop])
            if end > begin:
                found = read_parquet(shard.path, columns=[column]).get_column(column)
                yield rows[begin:end], found.gather(rows[begin:end] - shard.first)

    def named(self, rows: Rows) -> pl.DataFrame:
        """doc_id and source of `rows`, in any order."""
        import polars as pl

        distinct, places = np.unique(rows, return_inverse=True)
        parts = [pl.Series(dtype=pl.String), *(ids for _, ids in self.values("doc_id", distinct))]
        sources = np.searchsorted(np.array(self.ends), rows, side="right")
        return pl.DataFrame(
            {
                "doc_id": pl.concat(parts).gather(places),
                "source": pl.Series(self.sources, dtype=pl.String).gather(sources),
            }
        )

    def counts(self) -> dict[str, int]:
        """Documents of each source."""
        return dict(zip(self.sources, np.diff(self.ends, prepend=0).tolist(), strict=True))

    def count(self, found: pl.DataFrame) -> dict[str, int]:
        """How many of `found` are of each source."""
        counts = dict(found.group_by("source").len().iter_rows())
        return {source: counts.get(source, 0) for source in self.sources}
