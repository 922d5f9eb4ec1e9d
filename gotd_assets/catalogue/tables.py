"""Tables in Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from gotd_assets.catalogue.foreign import markdown, one_line
from gotd_assets.catalogue.shown import Markdown

# Dagster shows Markdown of fewer characters in place, and longer behind a link.
_IN_PLACE = 1000
# A wider row runs out of its page at 1440 pixels.
_ROW_WIDTH = 76
_TEXT_WIDTHS = (70, 60, 50, 40, 30, 24)
# Enough to tell documents apart, and to ask for one.
_ID_DIGITS = 12
_ID = re.compile(r"[0-9a-f]{32}")
_BEGINS_A_BLOCK = re.compile(r"^(\d*)([-+=.)])")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table, and an empty one behind it; cells are Markdown already."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def frame_table(frame: pl.DataFrame) -> Markdown:
    """A frame as a table; long texts are shortened, more so if the table can then be seen in place, and doc_ids too."""
    tables = [
        "\n".join(
            markdown_table(
                frame.columns, ([cell(_shortened(value), width) for value in row] for row in frame.iter_rows())
            )[:-1]
        )
        for width in _TEXT_WIDTHS
    ]
    narrow = [shown for shown in tables if max(map(len, shown.splitlines())) <= _ROW_WIDTH] or tables[-1:]
    return Markdown(next((shown for shown in narrow if len(shown) < _IN_PLACE), narrow[0]))


def pair_table(key: str, value: str, pairs: Mapping[str, object]) -> Markdown:
    """A mapping as a table of two columns."""
    return frame_table(pl.DataFrame({key: list(pairs), value: [str(entry) for entry in pairs.values()]}))


def in_page(text: str) -> str:
    """Markdown of one paragraph with breaks before it runs out of the page: Dagster lets the widest entry say where that ends."""
    lines = textwrap.wrap(text, _ROW_WIDTH, break_long_words=False, break_on_hyphens=False)
    # What begins a line by chance begins no list and underlines no heading.
    return "  \n".join(_BEGINS_A_BLOCK.sub(r"\1\\\2", line) for line in lines)


def cell(value: object, width: int) -> str:
    """A value as Markdown for one cell: on one line, at most `width` characters before what is escaped."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return markdown(one_line(text, width))


def _shortened(value: object) -> object:
    return value[:_ID_DIGITS] if isinstance(value, str) and _ID.fullmatch(value) else value
