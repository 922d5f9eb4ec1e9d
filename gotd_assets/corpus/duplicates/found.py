"""Documents that were found to be equal or similar to others: as a table, and a few examples with their texts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import polars as pl

    from gotd_assets.corpus.duplicates.rows import DocumentRows
    from gotd_assets.fingerprint import Json

    Rows = npt.NDArray[np.int64]

_EXAMPLES = 5
_EXCERPT = 160


@dataclasses.dataclass(frozen=True)
class Found:
    """Rows with the row that each is equal or similar to, and how similar; all of one length."""

    rows: Rows
    matched: Rows
    similarity: npt.NDArray[np.float64]

    @classmethod
    def of(cls, found: Sequence[tuple[int, int, float]]) -> Found:
        """Of (row, row it is similar to, similarity)."""
        rows, matched, similarity = zip(*found, strict=True) if found else ((), (), ())
        return cls(np.array(rows, np.int64), np.array(matched, np.int64), np.array(similarity, np.float64))

    def __add__(self, other: Found) -> Found:
        return Found(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.matched, other.matched]),
            np.concatenate([self.similarity, other.similarity]),
        )

    def named(self, documents: DocumentRows, others: DocumentRows, kind: str) -> pl.DataFrame:
        """doc_id and source of both, kind and similarity."""
        import polars as pl

        stays = others.named(self.matched).select(pl.all().name.prefix("matched_"))
        return pl.concat([documents.named(self.rows), stays], how="horizontal").with_columns(
            pl.lit(kind).alias("kind"), pl.Series("similarity", self.similarity)
        )


def examples(named: pl.DataFrame, found: Found, pool: DocumentRows, others: DocumentRows) -> list[dict[str, Json]]:
    """The least similar, those that are near first, with the beginnings of both texts; `named` is what `found.named` gives."""
    import polars as pl

    chosen = named.with_row_index("place").sort(pl.col("kind") == "exact", "similarity", "doc_id").head(_EXAMPLES)
    places = chosen.get_column("place").to_numpy()
    texts, matches = _excerpts(pool, found.rows[places]), _excerpts(others, found.matched[places])
    return [
        {**row, "text": text, "matched_text": match}
        for text, match, row in zip(texts, matches, chosen.drop("place").iter_rows(named=True), strict=True)
    ]


def _excerpts(pool: DocumentRows, rows: Rows) -> list[str]:
    found = {
        row: text[:_EXCERPT]
        for of_shard, texts in pool.values("text", np.unique(rows))
        for row, text in zip(of_shard.tolist(), texts, strict=True)
    }
    return [found[row] for row in rows.tolist()]
