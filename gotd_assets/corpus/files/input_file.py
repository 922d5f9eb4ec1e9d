"""One file to read, and how places in it are named."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

from gotd_assets.settings.text_files import compression_of
from gotd_assets.settings.texts import SourceSettings, TargetSettings

if TYPE_CHECKING:
    import polars as pl


ROW_BITS = 40
_BUFFER = 1 << 20
_ZSTD_BUFFER = 1 << 14


class Place(Protocol):
    """A file that says how far in it one is."""

    def tell(self) -> int:
        """Bytes from the beginning."""
        ...


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
        return compression_of(self.path.name)

    def open(self) -> IO[bytes]:
        """The file's content, decompressed, as a buffered binary stream."""
        return self.opened()[0]

    def opened(self) -> tuple[IO[bytes], Place]:
        """The file's content, decompressed, as a buffered binary stream; and the file on disk below it."""
        # By its bytes: a name need not be UTF-8. A buffer around the decompressors would lose what was read just
        # before a damaged place.
        if self.compression == ".zst":
            import pyarrow as pa

            raw = pa.OSFile(os.fsencode(self.path))
            # Unlike zstandard's reader, Arrow's says so when the stream ends early. Arrow's streams have no lines, so
            # need a buffer; a small one loses little before a damaged place.
            stream = cast("IO[bytes]", io.BufferedReader(pa.CompressedInputStream(raw, "zstd"), _ZSTD_BUFFER))
        elif self.compression is None:
            stream = raw = self.path.open("rb", buffering=_BUFFER)
        else:
            raw = self.path.open("rb")
            stream = cast("IO[bytes]", _DECOMPRESSORS[self.compression](raw))
        return stream, raw


_DECOMPRESSORS: dict[str, Callable[[IO[bytes]], object]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


def origins(positions: pl.Series, files: Sequence[InputFile]) -> pl.Series:
    """`positions` as people read them: 'file:row'."""
    import polars as pl

    numbers, rows = positions // (1 << ROW_BITS), positions % (1 << ROW_BITS)
    names = pl.Series([file.name for file in files], dtype=pl.String).gather(numbers)
    return (names + ":" + rows.cast(pl.String)).alias("origin")


def entry_label(entry: SourceSettings | TargetSettings) -> str:
    """How messages name an entry of gotd.yaml: "sources 'news'"."""
    return f"{'targets' if isinstance(entry, TargetSettings) else 'sources'} {entry.name!r}"
