"""From texts to clean documents: Unicode, HTML, white space, chunks."""

import html
import itertools
import re
from collections.abc import Callable, Iterator

import polars as pl

from gotd_assets.fingerprint import document_id
from gotd_assets.settings import PreparationSettings

_TAG = r"<[A-Za-z/!][^<>]*>"
_SPACE = r"[ \t\u00a0\u2000-\u200b\u202f\u205f\u3000]+"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]"
Measure = Callable[[str], int]


def clean(text: pl.Expr, settings: PreparationSettings) -> pl.Expr:
    """The normalised form of a text column: what `doc_id` is the hash of."""
    if settings.unicode != "none":
        text = text.str.normalize(settings.unicode)
    if settings.strip_html:
        text = text.str.replace_all(_TAG, " ").map_elements(html.unescape, return_dtype=pl.String)
    text = text.str.replace_all(_CONTROL, "").str.replace_all(_SPACE, " ")
    return text.str.replace_all(r" ?\r?\n ?", "\n").str.replace_all(r"\n{3,}", "\n\n").str.strip_chars()


def has_words(text: pl.Expr) -> pl.Expr:
    """Whether there is any letter or digit; a text of emoji or control characters has none."""
    return text.str.contains(r"[\p{L}\p{N}]")


def chunked(frame: pl.DataFrame, settings: PreparationSettings, measure: Measure) -> pl.DataFrame:
    """Cut the column `text` into chunks of at most `chunk_size` (by `measure`) at word boundaries.

    A chunk keeps its row and adds `part` (from 0). A remainder shorter than a quarter of `chunk_size` joins the chunk
    before it, which may so exceed the size by a quarter: a sliver of a sentence is no document. A single word longer
    than `chunk_size` stays whole. With `join_short`, consecutive texts of one file are first joined by a blank line
    while they fit; the joined text stands at the row of its first part.
    """
    if settings.join_short:
        frame = _joined(frame, settings.chunk_size, measure)
    cut = [list(_cut(text, settings.chunk_size, measure)) for text in frame.get_column("text").to_list()]
    return (
        frame.with_columns(text=pl.Series(cut, dtype=pl.List(pl.String)))
        .with_columns(part=pl.int_ranges(pl.col("text").list.len()))
        .explode("text", "part")
        .filter(pl.col("text").is_not_null())
    )


def document_ids(texts: pl.Series) -> pl.Series:
    """doc_id of every text."""
    return pl.Series("doc_id", [document_id(text) for text in texts.to_list()], dtype=pl.String)


def _joined(frame: pl.DataFrame, size: int, measure: Measure) -> pl.DataFrame:
    groups, group, length = [], -1, size
    for text in frame.get_column("text").to_list():
        here = measure(text)
        if length + here > size:
            group, length = group + 1, 0
        length += here + 1
        groups.append(group)
    rest = [pl.col(name).first() for name in frame.columns if name not in ("text", "original_id")]
    joined = (
        frame.with_columns(__group=pl.Series(groups, dtype=pl.Int64))
        .group_by("__group", maintain_order=True)
        .agg(*rest, pl.col("text").str.join("\n\n"))
        .drop("__group")
    )
    return joined.with_columns(original_id=document_ids(joined.get_column("text"))).select(frame.columns)


def _cut(text: str, size: int, measure: Measure) -> Iterator[str]:
    if measure(text) <= size:
        yield text
        return
    words = re.findall(r"\S+\s*", text)
    lengths = [len(word) for word in words] if measure is len else [measure(word) for word in words]
    bounds, filled = [0], 0
    for position, length in enumerate(lengths):
        if filled and filled + length > size:
            bounds.append(position)
            filled = 0
        filled += length
    if len(bounds) > 1 and filled < size / 4:
        bounds.pop()
    for begin, end in itertools.pairwise([*bounds, len(words)]):
        yield "".join(words[begin:end]).strip()
