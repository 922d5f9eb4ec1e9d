"""The study's documents: texts of every domain, split by text, then cut, and written as shards.

A text goes to the pool, to the target side or to the held-out side by a hash of its own, before it is cut: no document
of one side comes from a text that another side has documents of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from benchmarks.study.plan import DOMAINS, Plan
from gotd_assets.corpus.shards import ShardWriter
from gotd_assets.corpus.texts.clean import clean_texts, cut_at_words
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id, fraction
from gotd_assets.settings.texts import PreparationSettings

Side: TypeAlias = Literal["pool", "target", "heldout"]

MIN_CHARS = 60
_PREPARATION = PreparationSettings(strip_html=True)
# What becomes of the texts of a domain that targets are drawn from; those of the others all go to the pool.
_TARGET_SHARE, _HELDOUT_SHARE = 0.2, 0.2
# So many times what a sample needs is kept of the target side, so that samples differ, and of the held-out side, from
# which what is like target text is still taken away.
_TARGET_TIMES, _HELDOUT_TIMES = 4, 3


def side_of(text_id: str) -> Side:
    """Where a text of a target's domain belongs, by a hash that is independent of the order texts are taken in."""
    place = fraction(text_id, b"study")
    if place < _HELDOUT_SHARE:
        return "heldout"
    return "target" if place < _HELDOUT_SHARE + _TARGET_SHARE else "pool"


def write_corpus(plan: Plan, wheels: Mapping[str, Path], out: Path, say: Callable[[str], None]) -> None:
    """Write folders of shards `out/pool/<domain>`, and `out/target/<domain>` and `out/heldout/<domain>` of targets' domains.

    Texts are taken in the order of their hash. The pool gets as many documents as the plan wants, the other sides a few
    times what they need; of a held-out text only the first document is kept, so that held-out documents are independent of one another.

    Raises:
        InputError: a package has not enough text.
    """
    for name, wanted in plan.pool.items():
        domain = DOMAINS[name]
        split = name in plan.target_domains
        texts = domain.read(wheels[domain.package.name])
        sides = documents_of(texts, name, split=split, max_chars=plan.max_chars)
        limits: dict[Side, int] = {
            "pool": wanted,
            "target": _TARGET_TIMES * plan.target_documents,
            "heldout": _HELDOUT_TIMES * plan.heldout_documents,
        }
        sides = {side: documents.head(limits[side]) for side, documents in sides.items()}
        if sides["pool"].height < wanted:
            raise InputError(
                f"study {plan.name!r}: domain {name!r} has only {sides['pool'].height} documents for the pool, {wanted} "
                "are wanted; lower the plan's number"
            )
        for side, documents in sides.items():
            if documents.height:
                writer = ShardWriter(out / side / name, [])
                writer.add(documents)
                writer.close()
        say(f"{name}: " + ", ".join(f"{documents.height} {side}" for side, documents in sides.items()))


def documents_of(texts: Iterable[str], source: str, *, split: bool, max_chars: int) -> dict[Side, pl.DataFrame]:
    """Documents by side, as shards hold them.

    Args:
        texts: the domain's texts (an iterable of strings).
        source: name of the domain.
        split: whether texts go to all three sides, or all to the pool.
        max_chars: length of a document.
    """
    raw = pl.Series("text", list(texts), dtype=pl.String)
    clean = clean_texts(raw, _PREPARATION).drop_nulls().unique(maintain_order=True)
    whole = pl.DataFrame({"text": clean}).with_columns(
        original_id=pl.Series([document_id(text) for text in clean], dtype=pl.String)
    )
    side = pl.Series("side", [side_of(key) if split else "pool" for key in whole.get_column("original_id")], pl.String)
    whole = whole.with_columns(side).sort("original_id")
    pieces = pl.Series(
        "text", [cut_at_words(text, max_chars) for text in whole.get_column("text")], dtype=pl.List(pl.String)
    )
    cut = (
        whole.with_columns(pieces, number=pl.int_ranges(pieces.list.len()))
        .explode("text", "number")
        .filter(pl.col("text").str.len_chars() >= MIN_CHARS)
    )
    documents = cut.select(
        pl.Series("doc_id", [document_id(text) for text in cut.get_column("text")], dtype=pl.String),
        "text",
        source=pl.lit(source),
        origin=pl.format("{}#{}", "original_id", "number"),
        original_id="original_id",
        n_chars=pl.col("text").str.len_chars().cast(pl.Int64),
        side="side",
    ).unique("doc_id", keep="first", maintain_order=True)
    by_side: dict[Side, pl.DataFrame] = {}
    for name in ("pool", "target", "heldout"):
        part = documents.filter(pl.col("side") == name).drop("side")
        if name == "heldout":
            part = part.unique("original_id", keep="first", maintain_order=True)
        by_side[name] = part
    return by_side
