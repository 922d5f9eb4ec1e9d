"""One JSON object from its bytes, with what orjson changes or refuses: large integers, NaN, half characters, equal names."""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# Digits that may be more than 64 bits hold; a digit is looked for as a zero.
_MANY_DIGITS = b"0" * 19
_ALL_ZERO = bytes.maketrans(b"123456789", b"000000000")


class UnusableRecordError(ValueError):
    """A record cannot be used; the message is the reason for which it is set aside."""


def is_plain(line: bytes, names: Collection[bytes], *, numbers: bool) -> bool:
    """Whether orjson gives what is wanted of `line` as it is: no name twice and, if `numbers` are, none of 19 digits.

    `names` are the wanted fields as `quoted` gives them.
    """
    if any(line.count(name) > 1 for name in names):
        return False
    return not (numbers and _MANY_DIGITS in line.translate(_ALL_ZERO))


def quoted(names: Collection[str]) -> list[bytes]:
    """Names of fields as they stand in JSON."""
    return [orjson.dumps(name) + b":" for name in names if not _has_half_character(name)]


def parse_record(line: bytes, names: Collection[str]) -> object:
    """What `line` holds, its values exactly, where JSON as others write it may have NaN and infinities.

    Args:
        line: one JSON value, in UTF-8.
        names: fields that are wanted; each may be there once.

    Raises:
        UnusableRecordError: it is no JSON, or a wanted field is there twice or holds half a character.
    """
    try:
        record = json.loads(line.decode(), object_pairs_hook=_pairs)
        if isinstance(record, _Object):
            _check(record, names)
        return _as_dicts(record)
    except UnicodeDecodeError:
        raise UnusableRecordError("invalid UTF-8") from None
    except RecursionError:
        raise UnusableRecordError("JSON in too many levels") from None
    except json.JSONDecodeError:
        raise UnusableRecordError("malformed JSON") from None
    except UnusableRecordError:
        raise
    except ValueError:
        raise UnusableRecordError("a number of thousands of digits") from None


def _check(record: _Object, names: Collection[str]) -> None:
    for name in names:
        if name in record.twice or _is_twice(record, name.split(".")):
            raise UnusableRecordError(f"field {name!r} is there twice")
        if _has_half_character(record.get(name)):
            raise UnusableRecordError(f"field {name!r} holds half a character (a lone surrogate)")


class _Object(dict[str, Any]):
    """An object, and its names that are there more than once."""

    twice: frozenset[str] = frozenset()


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        times = collections.Counter(name for name, _ in pairs)
        found.twice = frozenset(name for name, number in times.items() if number > 1)
    return found


def _is_twice(value: Any, path: list[str]) -> bool:
    for name in path:
        if not isinstance(value, _Object):
            return False
        if name in value.twice:
            return True
        value = value.get(name)
    return False


def _has_half_character(value: object) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for text in _texts(value) if not text.isascii() for character in text)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else []


def _as_dicts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_dicts(inner) for name, inner in value.items()}
    return [_as_dicts(inner) for inner in value] if isinstance(value, list) else value


def parse_plain(lines: Sequence[bytes]) -> list[Any] | None:
    """What `lines` hold if each is JSON for orjson, else None."""
    try:
        return list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        return None
