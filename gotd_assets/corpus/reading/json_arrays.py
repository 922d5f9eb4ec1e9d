"""The elements of a JSON array that is too large to be parsed at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

# How much is looked through at a time.
BLOCK_BYTES = 2**20
# What says nothing of where an element of a JSON array ends: outside strings, and inside (possessive: never tried again).
_PLAIN = re.compile(rb'[^"{}\[\],]*+')
_QUOTED = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
# Where one object seems to end and the next to begin. Inside a string this cannot be: its quotation mark would end it.
_SEAM = re.compile(rb'\}\s*,?\s*(?=\{\s*")')
_END_OF_LIST = re.compile(rb"\}\s*\]")
# How often as much as the largest element is searched for such places. Only a file made for the purpose needs as much.
_SEARCHES = 32


def json_elements(stream: io.BufferedIOBase, limit: int) -> Iterator[bytes]:
    """The elements of a JSON array, not parsed yet; of an element beyond `limit` bytes only the beginning is kept.

    Only quotes, brackets and commas are looked at, so memory is bounded and one malformed element costs no other: where
    one does not end, because of a stray quotation mark, it ends at the next place where an object seems to begin.

    Raises:
        ValueError: the array does not end, or something follows it.
    """
    elements = _Elements(limit)
    again = b""
    while True:
        # One read of the archive at a time: several together would be lost with the one that meets a damaged place.
        block = again or stream.read1(BLOCK_BYTES)
        yield from elements.feed(block)
        if elements.after is not None:
            if (elements.after + stream.read(BLOCK_BYTES)).strip():
                raise ValueError("something follows the end of the array")
            return
        element, again = elements.cut(is_end=not block)
        if element is not None:
            yield element
        elif not block:
            raise ValueError("the array does not end")


class _Elements:
    """Where the elements of an array begin and end, told block by block; `after` is what follows the array's end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._tail = self._unread = b""
        self._depth = self._searched = 0
        self._is_quoted = self._is_searched = False
        self.after: bytes | None = None

    def feed(self, block: bytes) -> Iterator[bytes]:
        """The elements that end in `block`."""
        if not block:
            return
        block = self._unread + block
        place = start = 0
        while True:
            found = (_QUOTED if self._is_quoted else _PLAIN).match(block, place)
            place = found.end() if found else place
            mark = block[place : place + 1]
            # The end of the block, or a backslash whose character is in the next.
            if mark in (b"", b"\\"):
                break
            place += 1
            if mark == b'"':
                self._is_quoted = not self._is_quoted
            elif mark in b"[{":
                self._depth += 1
                start = place if self._depth == 1 else start
            elif mark in b"]}":
                self._depth -= 1
            if self._depth == 0 or (self._depth == 1 and mark == b","):
                yield from self._element(block[start : place - 1])
                start = place
            if self._depth == 0:
                self.after = block[place:]
                return
        self._tail, self._unread = block[start:place], block[place:]

    def cut(self, *, is_end: bool) -> tuple[bytes | None, bytes]:
        """Of an element that is too large, or does not end, what is before the next object, and what is to be fed again."""
        is_large = len(self._held) + len(self._tail) > self._limit
        if is_end or (is_large and not self._is_searched):
            whole = bytes(self._held) + self._tail + self._unread
            self._searched += len(whole)
            self._is_searched = True
            seam = _SEAM.search(whole) if self._searched <= _SEARCHES * max(self._limit, BLOCK_BYTES) else None
            if seam:
                self._held.clear()
                self._tail = self._unread = b""
                self._depth, self._is_quoted, self._is_searched = 1, False, False
                return whole[: seam.start() + 1], whole[seam.end() :]
        self._hold(self._tail)
        self._tail = b""
        return None, b""

    def _element(self, end: bytes) -> Iterator[bytes]:
        is_large, is_all = len(self._held) + len(end) > self._limit, not self._is_searched
        # Two stray quotation marks make one of all that is between them.
        parts = glued_objects(bytes(self._held) + end) if is_large and is_all else []
        self._hold(end)
        yield from parts or [bytes(self._held) if is_large else bytes(self._held).strip()]
        self._held.clear()
        self._is_searched = False

    def _hold(self, part: bytes) -> None:
        self._held += part[: max(0, self._limit + 1 - len(self._held))]


def glued_objects(line: bytes) -> list[bytes]:
    """The objects that stand in a malformed line one after the other, as without line ends; none if it is one object."""
    parts = _SEAM.sub(b"}\n", line).split(b"\n") if not _END_OF_LIST.search(line) else []
    return parts if len(parts) > 1 else []
