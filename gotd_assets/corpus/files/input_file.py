"""One file to read, and how places in it are named."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from gotd_assets.settings.texts import SourceSettings, TargetSettings

if TYPE_CHECKING:
    import polars as pl


COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
ROW_BITS = 40
_BUFFER = 1 << 20
_ZSTD_BUFFER = 1 << 14


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One file to read: where it is, its name in origins (relative to gotd.yaml, or a URL), its format and number."""

    path: Path
    name: str
    format: str
    number: int = 0

    def position(self, row: int) -> int:
        """This file and a row of it as one integer, in the order of files and rows."""
        return self.number << ROW_BITS | row

    @property
    def compression(self) -> str | None:
        """'.gz', '.zst', '.bz2', '.xz' or None."""
        return self.path.suffix if self.path.suffix in COMPRESSIONS else None

    def open(self) -> IO[bytes]:
        """The file's content, decompressed, as a buffered binary stream."""
        # A buffer around these would lose what was read just before a damaged place.
        match self.compression:
            case ".gz":
                return cast("IO[bytes]", gzip.GzipFile(self.path))
            case ".bz2":
                return cast("IO[bytes]", bz2.BZ2File(self.path))
            case ".xz":
                return cast("IO[bytes]", lzma.LZMAFile(self.path))
            case ".zst":
                import pyarrow as pa

                # Unlike zstandard's reader, Arrow's says so when the stream ends early.
                stream = pa.CompressedInputStream(pa.OSFile(str(self.path)), "zstd")
                # Arrow's streams have no lines, so need a buffer; a small one loses little before a damaged place.
                return cast("IO[bytes]", io.BufferedReader(stream, _ZSTD_BUFFER))
            case _:
                return self.path.open("rb", buffering=_BUFFER)


def origins(positions: pl.Series, files: Sequence[InputFile]) -> pl.Series:
    """`positions` as people read them: 'file:row'."""
    import polars as pl

    numbers, rows = positions // (1 << ROW_BITS), positions % (1 << ROW_BITS)
    names = pl.Series([file.name for file in files], dtype=pl.String).gather(numbers)
    return (names + ":" + rows.cast(pl.String)).alias("origin")


def entry_label(entry: SourceSettings | TargetSettings) -> str:
    """How messages name an entry of gotd.yaml: "sources 'news'"."""
    return f"{'targets' if isinstance(entry, TargetSettings) else 'sources'} {entry.name!r}"
