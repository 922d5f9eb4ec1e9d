"""Which documents are not in the pool, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from gotd_assets.artifacts.parquet import read_parquet

if TYPE_CHECKING:
    pass


def write_left_out(duplicates: Path, forgotten: pl.Series, sources: Sequence[str], out: Path) -> int:
    """Write to `out` (Parquet: doc_id, source, reason) what is not in the pool; return the number of forgotten documents.

    Args:
        duplicates: Parquet file with doc_id and source of documents that duplicate another.
        forgotten: doc_ids that must not be used, wherever they stand.
        sources: names of all sources.
        out: file to write.
    """
    repeated = read_parquet(duplicates, columns=["doc_id", "source"]).with_columns(reason=pl.lit("duplicate"))
    removed = (
        pl.DataFrame({"doc_id": forgotten.cast(pl.String)})
        .join(pl.DataFrame({"source": sources}, schema={"source": pl.String}), how="cross")
        .with_columns(reason=pl.lit("forgotten"))
    )
    pl.concat([removed, repeated]).unique(["doc_id", "source"], keep="first", maintain_order=True).write_parquet(out)
    return len(forgotten)


def exclusions(duplicates: Path, forgotten: Sequence[str]) -> pl.DataFrame:
    """Which documents are nowhere in the pool, and why: doc_id, reason, matched_doc_id (the one that stays; may be null).

    Args:
        duplicates: Parquet file with doc_id, matched_doc_id, kind ('exact', 'near' or 'vector') and similarity.
        forgotten: doc_ids that must not be used, wherever they stand.
    """
    # To two decimals, rounded down, so that there are few reasons to count.
    hundredths = (pl.col("similarity") * 100).floor() / 100
    reason = (
        pl.when(pl.col("kind") == "near")
        .then(pl.lit("near-duplicate of another candidate"))
        .otherwise(pl.format("its vector is like another candidate's (cosine {})", hundredths))
    )
    # An exact duplicate is the same document in another source, where it stays.
    near = (
        read_parquet(duplicates, columns=["doc_id", "matched_doc_id", "kind", "similarity"])
        .filter(pl.col("kind") != "exact")
        .select("doc_id", "matched_doc_id", reason=reason)
    )
    removed = pl.DataFrame({"doc_id": forgotten}, schema={"doc_id": pl.String}).select(
        "doc_id", matched_doc_id=pl.lit(None, pl.String), reason=pl.lit("forgotten")
    )
    return pl.concat([removed, near.join(removed, on="doc_id", how="anti")])
