"""Text of others, made fit for where it is shown: none of it is markup, a command to a terminal, or a formula."""

from __future__ import annotations

import re

import polars as pl

# Control characters, marks that turn the direction of writing, lone surrogates (as in file names that are not UTF-8).
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|!&~#:@$])")
_FORMULA = r"^[=+\-@\t\r]"
_BYTE_OF_NAME = range(0xDC80, 0xDD00)


def visible(text: str, keep: str = "") -> str:
    """`text` with characters that act on a terminal or hide in it written as escapes; those in `keep` stay."""
    return _UNSEEN.sub(lambda match: match[0] if match[0] in keep else _escape(ord(match[0])), text)


def one_line(text: str, width: int) -> str:
    """`text` without line ends, at most `width` characters; what cannot be seen is written as escapes."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"


def markdown(text: str) -> str:
    """One line of text whose characters stand for themselves in Markdown, in a table's cell too: no links, no HTML."""
    return _MARKDOWN.sub(r"\\\1", visible(text)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def spreadsheet(column: pl.Expr) -> pl.Expr:
    """A column of texts for CSV, none of which a spreadsheet takes for a formula: an apostrophe goes before such."""
    return pl.when(~column.str.contains(_FORMULA)).then(column).otherwise(pl.lit("'") + column)


def _escape(code: int) -> str:
    if code in _BYTE_OF_NAME:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
