"""Stable hashes: of parameters, of text, of files."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

_ID_BYTES = 16
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
    return hashlib.blake2b(normalised_text.encode(), digest_size=_ID_BYTES).hexdigest()


def document_ids(normalised_texts: Iterable[str]) -> list[str]:
    """`document_id` of each of many texts."""
    # One long string of digits takes half the time of many short ones.
    blake2b = hashlib.blake2b
    digits = b"".join([blake2b(text.encode(), digest_size=_ID_BYTES).digest() for text in normalised_texts]).hex()
    return [digits[start : start + 2 * _ID_BYTES] for start in range(0, len(digits), 2 * _ID_BYTES)]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
