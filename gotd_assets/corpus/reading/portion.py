"""A part of a file that any process can read by itself, and the records that come out of it."""

from __future__ import annotations

import contextlib
import dataclasses
import lzma
import zlib
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gotd_assets.corpus.files.input_file import InputFile


PORTION_BYTES = 16 * 2**20
BATCH_RECORDS = 8192
BATCH_BYTES = 16 * 2**20
EXCERPT = 200
# Arrow's errors are OSErrors and ValueErrors; these two of the decompressors are neither.
DAMAGED = (OSError, EOFError, ValueError, ArithmeticError, zlib.error, lzma.LZMAError)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class Problem:
    """A record (or, with row 0, the rest of a file) that could not be used: where, why, and how it begins."""

    file: str
    row: int
    reason: str
    excerpt: str


@dataclasses.dataclass(frozen=True)
class Damage:
    """A file of which more than single records is lost.

    Attributes:
        file: its name in origins.
        reason: what is wrong with it.
        lost_bytes: how much of the file on disk could not be read; None if nobody can tell, as of one that was cut off.
        lost_rows: how many rows that were, where the file says so.
    """

    file: str
    reason: str
    lost_bytes: int | None
    lost_rows: int | None = None


@dataclasses.dataclass
class Batch:
    """Records of files of one format: the records as mappings, where each stands, and what was set aside on the way.

    A position is the number of the file and the 1-based row in it, as one integer (`InputFile.position`). `rows` counts
    lines, empty ones too. `damages` are what was lost beside the single records in `problems`.
    """

    format: str
    positions: list[int] = dataclasses.field(default_factory=list)
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    damages: list[Damage] = dataclasses.field(default_factory=list)
    size: int = 0
    rows: int = 0

    def add(self, file: InputFile, row: int, record: object) -> None:
        """Take a record, or set it aside if it is no object."""
        if isinstance(record, dict):
            self.positions.append(file.position(row))
            self.records.append(record)
        else:
            self.add_problem(file, row, "record is not an object", repr(record)[:EXCERPT])

    def add_problem(self, file: InputFile, row: int, reason: str, excerpt: str | bytes) -> None:
        """Set a record aside."""
        text = excerpt.decode(errors="replace") if isinstance(excerpt, bytes) else excerpt
        self.problems.append(Problem(file.name, row, reason, text[:EXCERPT]))

    @property
    def full(self) -> bool:
        """Whether it is time to hand the batch on."""
        return len(self.positions) + len(self.problems) >= BATCH_RECORDS or self.size >= BATCH_BYTES


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is wanted of every record.

    Attributes:
        columns: its top-level fields that are needed.
        max_record_bytes: what is larger is set aside.
        values: whether fields other than texts are wanted, so that numbers must come as they are.
    """

    columns: Sequence[str]
    max_record_bytes: int
    values: bool = False


@dataclasses.dataclass(frozen=True)
class Portion:
    """A part of a file (or several whole texts) that any process can read by itself: one of the following.

    Attributes:
        file: the file, or the last of several.
        span: whole lines from one byte to another; rows are counted from 1 in it, as nobody has counted those before.
        lines: lines (or elements of a JSON array) that were found already, from row `first_row` on.
        tables: record batches of a columnar file, from row `first_row` on.
        batch: what was parsed already, because only reading from the beginning finds where a record ends.
    """

    file: InputFile
    span: tuple[int, int] | None = None
    lines: Sequence[bytes] = ()
    tables: Sequence[Any] = ()
    first_row: int = 1
    batch: Batch | None = None


@dataclasses.dataclass
class RowsRead:
    """How far a cutter has come in its file, for what is said of a damaged one.

    Attributes:
        row: the last row read.
        done: bytes of the file on disk that were read when it was closed.
    """

    row: int = 0
    done: int = 0

    @contextlib.contextmanager
    def open(self, file: InputFile) -> Iterator[IO[bytes]]:
        """The content of `file`; how far it was read is remembered."""
        stream, place = file.opened()
        try:
            yield stream
        finally:
            self.done = place.tell()
            stream.close()

    def lost_bytes(self, size: int) -> int | None:
        """How many of a file's `size` bytes come after what was read; None if all were read, and the rest is elsewhere."""
        return size - self.done if self.done < size else None
