"""How files are called in origins, metadata and lineage: in valid UTF-8, whatever their names are made of."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")


def name_of(path: Path, root: Path) -> str:
    r"""`path`, relative to `root` if it is in it; bytes that are no UTF-8 as escapes: 'caf\xe9.jsonl'."""
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(shown).decode(errors="backslashreplace")


def path_of(name: str, root: Path) -> Path:
    """The path that is called `name` below `root`."""
    plain = root / name
    if "\\x" not in name or os.path.lexists(plain):
        return plain
    return root / os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), name.encode()))
