"""Scores of candidates where they stand, part by part: for rankings of which only the beginning is kept."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ORDER = ("step", "score", "doc_id")
_HELD_ROWS = 200_000  # of a ranking, beside those that are kept
_NONE = pl.DataFrame(schema={"doc_id": pl.String, "score": pl.Float64})


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """Candidates that may be selected, of a Parquet file with doc_id, source and score, which is read by row groups.

    Attributes:
        path: the file.
        excluded: doc_id (distinct) of those in it that may not be selected.
        sources: names of those that may be selected from; None for all.
    """

    path: Path
    excluded: pl.DataFrame
    sources: tuple[str, ...] | None = None

    def parts(self) -> Iterator[pl.DataFrame]:
        """doc_id, source and score of the candidates, part by part."""
        for part in self._rows():
            yield self._selectable(part)

    def frame(self) -> pl.DataFrame:
        """All of them at once."""
        return pl.concat([self._rows_of_none(), *self.parts()])

    def beside(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Of `frames`, of which each has the doc_id of one part, what may be selected.

        Raises:
            InputError: they are of another pool.
        """
        for part, frame in zip(self._rows(), frames, strict=True):
            if not part.get_column("doc_id").equals(frame.get_column("doc_id")):
                raise InputError("candidate_scores are of another pool than there is now: materialise them again")
            yield frame.join(self._selectable(part).select("doc_id"), on="doc_id", how="semi", maintain_order="left")

    def of(self, doc_ids: pl.Series) -> pl.DataFrame:
        """doc_id, source and score of the candidates among `doc_ids`, in the order of the file."""
        wanted = doc_ids.to_frame("doc_id")
        found = (part.join(wanted, on="doc_id", how="semi", maintain_order="left") for part in self.parts())
        return pl.concat([self._rows_of_none(), *found])

    @functools.cached_property
    def _counts(self) -> tuple[int, int, int]:
        counts = np.zeros(3, dtype=np.int64)
        for part in self.parts():
            score = part.get_column("score")
            counts += np.array([part.height, (score < 0).sum(), (score > 0).sum()])
        available, negative, positive = counts.tolist()
        return available, negative, positive

    @property
    def available(self) -> int:
        """How many there are."""
        return self._counts[0]

    def helping(self, sign: int) -> int:
        """How many have a score that, times `sign`, is negative."""
        return self._counts[1] if sign > 0 else self._counts[2]

    def _rows(self) -> Iterator[pl.DataFrame]:
        with pq.ParquetFile(self.path) as file:
            for number in range(file.num_row_groups):
                yield pl.DataFrame(pl.from_arrow(file.read_row_group(number, columns=["doc_id", "source", "score"])))

    def _rows_of_none(self) -> pl.DataFrame:
        return pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String, "score": pl.Float64})

    def _selectable(self, part: pl.DataFrame) -> pl.DataFrame:
        if self.sources is not None:
            part = part.filter(pl.col("source").is_in(self.sources))
        if self.excluded.height:
            part = part.join(self.excluded, on="doc_id", how="anti", maintain_order="left")
        return part


def lowest(parts: Iterable[pl.DataFrame], count: int | None = None) -> pl.DataFrame:
    """The first `count` rows (all if None) of those of `parts`: step by step, scores from low to high, ties by doc_id.

    Twice as many are held at most, besides 200,000.
    """
    held: list[pl.DataFrame] = []
    rows = 0
    for part in parts:
        held.append(part)
        rows += part.height
        if count is not None and rows > 2 * count + _HELD_ROWS:
            held = [_best_first(held, count)]
            rows = held[0].height
    return _best_first(held, rows if count is None else count) if held else _NONE


def _best_first(held: list[pl.DataFrame], count: int) -> pl.DataFrame:
    ranked = pl.concat(held)
    first = ranked.sort([column for column in _ORDER if column in ranked.columns]).head(count)
    # Texts of a part of a frame keep those of all of it in memory; these are copied.
    return pl.DataFrame(pl.from_arrow(first.to_arrow(compat_level=pl.CompatLevel.oldest())))
