"""Records as people have them, as one text: a field, several in a template, or the turns of a conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gotd_assets.corpus.texts.filters import field_value
from gotd_assets.models.conversations import plainly, turns_of

# '{title}', '{meta.body}'; doubled braces are braces.
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


def fields_in(text: str) -> list[str]:
    """The fields that `fields.text` names: itself, or those in the braces of a template."""
    return [name for name in _PLACE.findall(text) if name] if _is_template(text) else [text]


def rendered(record: Mapping[str, Any], text: str) -> Any:
    """The text of `record` by `fields.text`; what the field holds if that is no text, None if there is nothing.

    A template takes a missing field for an empty one, unless all are missing. A list of messages becomes its turns, each
    with its speaker: 'user: …'.
    """
    if not _is_template(text):
        return _said(field_value(record, text))
    values = {name: _said(field_value(record, name)) for name in fields_in(text)}
    if all(value is None for value in values.values()):
        return None
    unfit = next((value for value in values.values() if isinstance(value, list | Mapping)), None)
    if unfit is not None:
        return unfit
    return _PLACE.sub(lambda place: _put(place, values), text)


def _is_template(text: str) -> bool:
    return any(_PLACE.findall(text))


def _put(place: re.Match[str], values: Mapping[str, Any]) -> str:
    if place[1] is None:
        return place[0][0]
    value = values[place[1]]
    return "" if value is None else str(value)


def _said(value: Any) -> Any:
    """A conversation as its turns; anything else as it is."""
    turns = turns_of(value)
    return value if turns is None else plainly(turns)
