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


def json_elements(stream: io.BufferedIOBase, limit: int) -> Iterator[bytes]:
    """The elements of a JSON array, not parsed yet; of an element beyond `limit` bytes only the beginning is kept.

    Only quotes, brackets and commas are looked at, so memory is bounded and one malformed element costs no other.

    Raises:
        ValueError: the array does not end, or something follows it.
    """
    held = bytearray()
    depth, is_quoted, unread = 0, False, b""
    # One read of the archive at a time: several together would be lost with the one that meets a damaged place.
    while block := stream.read1(BLOCK_BYTES):
        block = unread + block
        place = start = 0
        while True:
            found = (_QUOTED if is_quoted else _PLAIN).match(block, place)
            place = found.end() if found else place
            mark = block[place : place + 1]
            # The end of the block, or a backslash whose character is in the next.
            if mark in (b"", b"\\"):
                break
            place += 1
            if mark == b'"':
                is_quoted = not is_quoted
            elif mark in b"[{":
                depth += 1
                start = place if depth == 1 else start
            elif mark in b"]}":
                depth -= 1
            if depth == 0 or (depth == 1 and mark == b","):
                held += block[start : place - 1][: max(0, limit + 1 - len(held))]
                yield bytes(held).strip() if len(held) <= limit else bytes(held)
                held.clear()
                start = place
            if depth == 0:
                if (block[place:] + stream.read(BLOCK_BYTES)).strip():
                    raise ValueError("something follows the end of the array")
                return
        held += block[start:place][: max(0, limit + 1 - len(held))]
        unread = block[place:]
    raise ValueError("the array does not end")
