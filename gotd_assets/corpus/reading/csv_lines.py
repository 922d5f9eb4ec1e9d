"""The lines of a CSV file, of bounded size, of which those of a record can be read again."""

from __future__ import annotations

import collections
import contextlib
import re
from typing import IO, TYPE_CHECKING, NamedTuple, Self

from gotd_assets.corpus.reading.portion import BYTE_ORDER_MARK, DAMAGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gotd_assets.corpus.files.input_file import InputFile
    from gotd_assets.corpus.reading.portion import RowsRead

_BLOCK_BYTES = 2**16
# What is read again because of stray quotation marks, in records of the largest allowed size, and how often the file
# is opened again for them. Only a file made for the purpose needs as much.
_RECORDS_READ_AGAIN = 32
_OPENED_AGAIN = 8


class RecordTooLargeError(Exception):
    """A record has more bytes than are allowed."""


class Line(NamedTuple):
    """A line with its end; of one that is too long only the beginning is kept.

    Attributes:
        content: its bytes.
        start: bytes of the file before it.
        stop: bytes of the file up to its end.
        quotes_dropped: quotation marks in what was not kept.
    """

    content: bytes
    start: int
    stop: int
    quotes_dropped: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of it was kept."""
        return self.stop - self.start == len(self.content)

    @property
    def quotes(self) -> int:
        """Quotation marks in it."""
        return self.content.count(b'"') + self.quotes_dropped


class Lines:
    """Lines for csv.reader as text; bytes that are no UTF-8 become lone surrogates, which no valid text holds.

    A line ends as in the csv module, with LF, CR or both. `lost` are the bytes given up for stray quotation marks.
    """

    def __init__(self, file: InputFile, progress: RowsRead, limit: int) -> None:
        self.delimiter = "\t" if file.format == "tsv" else ","
        self._file = file
        self._progress = progress
        self._limit = limit
        self._end_of_quoted = re.compile(
            rb'(?:[^"]|"")*+"(?=[\r\n]|$|' + re.escape(self.delimiter.encode()) + rb")", re.DOTALL
        )
        self._opened = contextlib.ExitStack()
        self._lines = _lines(self._opened.enter_context(progress.open(file)), limit, 0)
        self._again: collections.deque[Line] = collections.deque()
        self._taken: list[Line] = []
        self._size = self._read_again = self._times_opened = 0
        self._skipped_to: int | None = None
        self.lost = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        content, start, stop, _ = line
        self._taken.append(line)
        self._size += stop - start
        if self._size > self._limit:
            raise RecordTooLargeError("larger than max_record_bytes")
        if not start:
            content = content.removeprefix(BYTE_ORDER_MARK)
        return content.decode("utf-8", "surrogateescape")

    def begin(self) -> None:
        """A record begins with the next line."""
        self._taken, self._size, self._skipped_to = [], 0, None

    @property
    def are_many(self) -> bool:
        """Whether the record has lines between its first and its last."""
        return len(self._taken) > 2

    def first(self, size: int) -> str:
        """How the record begins."""
        return self._taken[0].content[: 4 * size].decode(errors="replace")[:size].rstrip("\r\n") if self._taken else ""

    def inner(self) -> list[str]:
        """The lines of the record but the first and the last."""
        return [line.content.decode(errors="replace") for line in self._taken[1:-1]]

    def go_back(self) -> None:
        """Let the lines of the record but the first be read again; they are `lost` if that would take too long."""
        later = self._taken[1:]
        if self._skipped_to is None:
            self._read_again += self._size
            if self._read_again > _RECORDS_READ_AGAIN * self._limit:
                self.lost += sum(line.stop - line.start for line in later)
            else:
                self._again.extendleft(reversed(later))
            return
        start = self._taken[0].stop
        self._times_opened += 1
        if self._times_opened > _OPENED_AGAIN:
            self.lost += self._skipped_to - start
            return
        self._opened.close()
        stream = self._opened.enter_context(self._progress.open(self._file))
        _skip(stream, start, seekable=self._file.compression is None)
        self._lines = _lines(stream, self._limit, start)
        self._again.clear()

    def skip_record(self) -> bool:
        """Go to the end of a record that is too large; whether it ends as a record does, not by another one's mark."""
        is_quoted = sum(line.quotes for line in self._taken) % 2 == 1
        stop = self._taken[-1].stop
        try:
            while is_quoted:
                line = self._next()
                stop = self._skipped_to = line.stop
                if line.quotes % 2 == 1:
                    is_quoted = False
                    if line.is_whole and not self._end_of_quoted.match(line.content):
                        break
            else:
                return True
        except StopIteration:
            pass
        except DAMAGED:
            # The rest cannot be read again either.
            self._taken = self._taken[:1]
            raise
        self._skipped_to = stop
        return False

    def _next(self) -> Line:
        return self._again.popleft() if self._again else next(self._lines)


def _skip(stream: IO[bytes], size: int, *, seekable: bool) -> None:
    if seekable:
        stream.seek(size)
        return
    while size and (block := stream.read(min(size, 2**20))):
        size -= len(block)


def _lines(stream: IO[bytes], limit: int, place: int) -> Iterator[Line]:
    """The lines from `place` on; one block of the file is held, and `limit` bytes of a line."""
    held, carried = _Beginning(limit), b""
    while block := stream.read1(_BLOCK_BYTES):  # type: ignore[attr-defined]  # every stream of an input file has it
        block = carried + block
        # A LF that follows belongs to it.
        carried = b"\r" if block.endswith(b"\r") else b""
        parts = (block[:-1] if carried else block).splitlines(keepends=True)
        rest = parts.pop() if parts and not parts[-1].endswith((b"\n", b"\r")) else b""
        for part in parts:
            if held.size or len(part) > limit:
                held.add(part)
                yield held.line(place)
                place += held.size
                held = _Beginning(limit)
            else:
                yield Line(part, place, place + len(part))
                place += len(part)
        held.add(rest)
    held.add(carried)
    if held.size:
        yield held.line(place)


class _Beginning:
    """The beginning of a line that comes in several blocks."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self._quotes_dropped = 0
        self.size = 0

    def add(self, part: bytes) -> None:
        kept = part[: max(0, self._limit + 1 - len(self._content))]
        self._content += kept
        self._quotes_dropped += part.count(b'"', len(kept))
        self.size += len(part)

    def line(self, start: int) -> Line:
        return Line(bytes(self._content), start, start + self.size, self._quotes_dropped)
