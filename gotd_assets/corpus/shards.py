"""Document shards: `documents-00000.parquet`, … in a folder; writing, scanning and sampling them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.artifacts.parquet import read_parquet, scan_parquet
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

SHARD_ROWS = 50_000
SHARD_BYTES = 128 * 2**20
COLUMNS = ("doc_id", "text", "source", "origin", "original_id", "n_chars")


def document_schema(keep: Sequence[str] = ()) -> dict[str, Any]:
    """Column types of a shard; kept fields are strings, values that were not text as JSON."""
    import polars as pl

    types = {name: pl.Int64 if name == "n_chars" else pl.String for name in COLUMNS}
    return {**types, **dict.fromkeys(keep, pl.String)}


class ShardWriter:
    """Writes documents to shards of at most 50,000 rows or about 128 MiB of text; always at least one, empty if need be."""

    def __init__(self, folder: Path, keep: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._schema = document_schema(keep)
        self._parts: list[pl.DataFrame] = []
        self._rows = self._bytes = self._shards = 0
        self.documents = 0

    def add(self, documents: pl.DataFrame) -> None:
        """Append documents (columns as in `document_schema`)."""
        self.documents += documents.height
        while documents.height:
            part = documents.head(SHARD_ROWS - self._rows)
            documents = documents.slice(part.height)
            self._parts.append(part)
            self._rows += part.height
            # Not the size in memory, which depends on how the rows came here.
            self._bytes += int(part.get_column("text").str.len_bytes().sum())
            if self._rows >= SHARD_ROWS or self._bytes >= SHARD_BYTES:
                self._write()

    def close(self) -> None:
        """Write what is left."""
        if self._parts or not self._shards:
            self._write()

    def _write(self) -> None:
        import polars as pl

        frame = pl.concat([pl.DataFrame(schema=self._schema), *self._parts])
        frame.write_parquet(
            self._folder / f"documents-{self._shards:05d}.parquet", compression="zstd", compression_level=1
        )
        self._shards += 1
        self._parts = []
        self._rows = self._bytes = 0


def shard_paths(path: Path) -> list[Path]:
    """The shards in folder `path`, in order.

    Raises:
        InputError: there are none.
    """
    shards = sorted(path.glob("documents-*.parquet"))
    if not shards:
        raise InputError(f"{path} holds no documents-*.parquet: materialise the documents first")
    return shards


@dataclasses.dataclass(frozen=True)
class DocumentShard:
    """A shard as one of several.

    Attributes:
        path: of the file.
        first: number of its first document, counted through all shards.
        rows: documents.
        size: bytes, unpacked.
    """

    path: Path
    first: int
    rows: int
    size: int

    @property
    def stop(self) -> int:
        """Number of the document after its last."""
        return self.first + self.rows


def document_shards(path: Path, first: int = 0) -> Iterator[DocumentShard]:
    """The shards in folder `path`, in order, their documents counted from `first`.

    Raises:
        InputError: there are none.
    """
    import pyarrow.parquet as pq

    for shard in shard_paths(path):
        found = pq.read_metadata(shard)
        size = sum(found.row_group(group).total_byte_size for group in range(found.num_row_groups))
        yield DocumentShard(shard, first, found.num_rows, size)
        first += found.num_rows


def scan_documents(path: Path) -> pl.LazyFrame:
    """All documents in folder `path`, lazily, in order.

    Raises:
        InputError: the folder holds no shard.
    """
    return scan_parquet(shard_paths(path))


def iter_documents(path: Path, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """The documents in folder `path`, one shard at a time, only `columns` if given.

    Raises:
        InputError: the folder holds no shard.
    """
    for shard in shard_paths(path):
        yield read_parquet(shard, columns=None if columns is None else list(columns))


def sample_documents(path: Path, n: int) -> pl.DataFrame:
    """`n` documents spread over folder `path`: those with the smallest doc_id, which is a uniform draw that repeats.

    Raises:
        InputError: the folder holds no shard.
    """
    import polars as pl

    shards = list(document_shards(path))
    least = pl.DataFrame(schema={"row": pl.Int64, "doc_id": pl.String})
    for shard in shards:
        numbers = pl.int_range(shard.first, shard.stop, dtype=pl.Int64, eager=True)
        ids = read_parquet(shard.path, columns=["doc_id"]).select(numbers.alias("row"), "doc_id")
        least = pl.concat([least, ids]).bottom_k(n, by="doc_id")
    rows = least.get_column("row").sort()
    # A shard is read only for what is wanted of it.
    found: list[pl.DataFrame] = []
    for shard in shards:
        wanted = rows.filter((rows >= shard.first) & (rows < shard.stop))
        if len(wanted) or not found:
            found.append(read_parquet(shard.path)[(wanted - shard.first).to_list()])
    return pl.concat(found).sort("doc_id").head(n)
