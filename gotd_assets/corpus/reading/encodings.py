"""Files of text in another encoding than UTF-8, told by how they begin."""

from __future__ import annotations

HEAD_BYTES = 4096
_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
# Control characters that no text has. In UTF-16 every other byte of most scripts is one of them.
_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b")
_SHARE = 0.4


def other_encoding(head: bytes) -> str | None:
    """'UTF-16' or 'UTF-32' if a file that begins with `head` is in it, with a byte order mark or without."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    even, odd = (_controls(head[start::2]) for start in (0, 1))
    if max(even, odd) < _SHARE:
        return None
    return "UTF-32" if min(even, odd) >= _SHARE else "UTF-16"


def _controls(part: bytes) -> float:
    """The share of control characters."""
    return 1 - len(part.translate(None, _CONTROL)) / len(part) if len(part) > 1 else 0.0
