"""Clean text: normal forms, markup, whitespace; and texts cut or joined into chunks of the wanted length."""

from __future__ import annotations

import dataclasses
import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from gotd_assets.settings.texts import PreparationSettings

# Control characters other than tab and newline, and the byte order mark.
_CONTROL = "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u{feff}]"
# What a text without any is left as it is: printable ASCII in single spaces and at most one blank line.
_UNUSUAL = r"[^!-~\n ]|  | \n|\n |\n\n\n"
# A text without any is in that normal form already. Of NFC those are: what lies below the combining characters, and the
# dashes, quotation marks and currency signs of running text.
_MAY_CHANGE = {
    "NFC": r"[^\x{0}-\x{2ff}\x{2010}-\x{2027}\x{2030}-\x{205e}\x{20a0}-\x{20bf}\x{2122}]",
    "NFKC": r"[^\x{0}-\x{7f}]",
}
_INVISIBLE = re.compile(r"<!--|<(script|style)\b", re.IGNORECASE)
_ENDS = {
    "": re.compile("-->"),
    "script": re.compile(r"</script\s*+>", re.IGNORECASE),
    "style": re.compile(r"</style\s*+>", re.IGNORECASE),
}
# A reference to a character by a number that no character has.
_TOO_LARGE_NUMBER = re.compile(r"&#(?:0{0,3}[1-9][0-9]{7,}|[xX]0{0,3}[1-9a-fA-F][0-9a-fA-F]{7,});?")
_ZEROS_BEFORE_NUMBER = re.compile(r"(?<=&#)0{4,}|(?<=&#[xX])0{4,}")
_BLOCK_TAG = re.compile(r"</?(p|div|br|li|ul|ol|h[1-6]|tr|table|section|article|blockquote)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z][^<>]*>")
_JOINT = "\n\n"


def clean_texts(texts: pl.Series, preparation: PreparationSettings) -> pl.Series:
    """Normalise texts: markup (if asked), Unicode form, control characters, spaces, blank lines, ends.

    Runs of spaces and tabs become one space, more than one blank line becomes one; line breaks are kept.
    """
    import polars as pl

    if preparation.strip_html:
        marked = texts.str.contains_any(["<", "&"])
        texts = pl.Series(
            texts.name,
            [strip_markup(text) if mark else text for text, mark in zip(texts, marked, strict=True)],
            dtype=pl.String,
        )
    return _where(texts, _UNUSUAL, lambda unusual: _cleaned(unusual, preparation)).str.strip_chars()


def _where(texts: pl.Series, pattern: str, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`texts` after `change` of those that match `pattern`: few, as most texts are clean, and one look tells."""
    import polars as pl

    found = texts.str.contains(pattern)
    if not found.any():
        return texts
    rows = found.arg_true()
    order = pl.arange(len(texts), eager=True).scatter(rows, pl.arange(len(rows), eager=True) + len(texts))
    return pl.concat([texts, change(texts.gather(rows))]).gather(order)


def _cleaned(texts: pl.Series, preparation: PreparationSettings) -> pl.Series:
    texts = texts.str.replace_all("\r\n?", "\n").str.replace_all(_CONTROL, "")
    form = preparation.unicode
    if form != "none":
        texts = _where(texts, _MAY_CHANGE[form], lambda found: found.str.normalize(form))
    # Written so that a plain space is no match: nearly all of them stay.
    texts = texts.str.replace_all(r"[^\S\n ][^\S\n]*| [^\S\n]+", " ")
    return texts.str.replace_all(r" \n ?|\n ", "\n").str.replace_all(r"\n{3,}", _JOINT)


def strip_markup(text: str) -> str:
    """`text` without HTML tags, comments, scripts and styles, its entities resolved; 'a < b' stays as it is.

    What is opened and never closed stays as text. The time is proportional to the length, whatever is in it.
    """
    text = _TAG.sub("", _BLOCK_TAG.sub("\n", _without_invisible(text)))
    return html.unescape(_TOO_LARGE_NUMBER.sub("\ufffd", _ZEROS_BEFORE_NUMBER.sub("0", text)))


def _without_invisible(text: str) -> str:
    """`text` with a space for every comment, script and style that is closed."""
    kept: list[str] = []
    place = start = 0
    unclosed: set[str] = set()
    while found := _INVISIBLE.search(text, place):
        kind = (found[1] or "").lower()
        # Once there is no end, there is none further on: it is not looked for again.
        end = None if kind in unclosed else _ENDS[kind].search(text, found.end())
        if end is None:
            unclosed.add(kind)
            place = found.end()
        else:
            kept += (text[start : found.start()], " ")
            place = start = end.end()
    return "".join(kept) + text[start:]


def cut_at_words(text: str, size: int) -> list[str]:
    """Cut `text` into pieces of at most `size` characters, at whitespace where there is any.

    Each piece is as long as fits; the remainder is a piece of its own. Only a word longer than `size` is cut inside.
    """
    pieces = []
    start, end = 0, len(text)
    while end - start > size:
        window = text[start : start + size + 1]
        cut = max(window.rfind(" "), window.rfind("\n"))
        stop = start + (cut if cut > 0 else size)
        pieces.append(text[start:stop].rstrip())
        start = stop
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        pieces.append(text[start:])
    return pieces


@dataclasses.dataclass(frozen=True)
class Joined:
    """Texts joined to one, with the position and kept fields of the first."""

    position: int
    text: str
    kept: tuple[str | None, ...]


class Joiner:
    """Joins consecutive short texts, separated by a blank line, up to `size` in the unit of their lengths."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: list[Joined] = []
        self._held_length = 0

    def add(self, text: Joined, length: int) -> Iterator[Joined]:
        """Take the next text; yield what is complete."""
        length += len(_JOINT)
        if self._held_length + length > self._size + len(_JOINT):
            yield from self.flush()
        self._held.append(text)
        self._held_length += length

    def flush(self) -> Iterator[Joined]:
        """Yield what is still held."""
        if self._held:
            yield dataclasses.replace(self._held[0], text=_JOINT.join(part.text for part in self._held))
        self._held = []
        self._held_length = 0
