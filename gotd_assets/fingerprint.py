"""Stable hashes: of parameters, of text, of files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | Sequence[Json] | None"


def fingerprint(value: Json) -> str:
    """128-bit BLAKE2b of the canonical JSON of `value`, as 32 hex digits.

    Floats are written by `repr`, so equal values hash equally on every machine.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON cannot name.
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def document_id(normalised_text: str) -> str:
    """doc_id of a text that is already normalised: its 128-bit BLAKE2b, as 32 hex digits."""
    return hashlib.blake2b(normalised_text.encode(), digest_size=16).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fraction(text: str, purpose: bytes) -> float:
    """A number in [0, 1) that depends on `text` alone, and is another for each `purpose` (at most 16 bytes).

    For splits that keep every text on its side when others come, and that do not go by the order of doc_ids.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "big") / 2**64
