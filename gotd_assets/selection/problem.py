"""What a selection method may look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy.typing as npt
import polars as pl

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.shards import shard_paths
from gotd_assets.execution.engine import mapped
from gotd_assets.execution.processes import LocalEngine
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.settings.selection import SelectionSettings

if TYPE_CHECKING:
    from gotd_assets.execution.engine import Engine
    from gotd_assets.selection.scored import Scored
    from gotd_assets.transport import Potentials

Direction: TypeAlias = Literal["toward", "away"]


@dataclasses.dataclass(frozen=True)
class SelectionProblem:
    """Candidates, a target, and how much to select.

    Attributes:
        scores: candidates that may be selected: doc_id, source, score (calibrated gradient of the transport cost).
            None of them for a method that goes part by part through those in `scored`.
        pool: vectors of every candidate, also of those that may not be selected.
        target: (M, D) vectors of the target's documents, one row each.
        budget: documents, '2%', '50k tokens' or 'until-zero' (see `settings.Budget`).
        seed: for methods that draw.
        direction: 'away' turns every method round: it selects what is least like the target.
        settings: of the methods.
        documents: folder of documents by source, read only by methods that look at text and by budgets in tokens.
        target_texts: texts of the target's documents, in the order of `target`.
        potentials: solved between pool and target, for methods that need them.
        relevance: OT distance of each source to the target, for methods that need it.
        away_scores: doc_id and score against the target to stay away from, for methods that need it; None also where
            that target is the problem's own.
        shared: doc_id and score, low for what helps, by the targets that share the budget, in the order of their turns.
        scored: where the candidates that may be selected are, if not in `scores`.
        engine: whose workers look at the shards of documents and vectors; None for this process.
        toxicity: toxicity (n,) in [0, 1] of a frame of doc_id and text, for methods that need it.
        states: vectors (n, D) of length one of a frame of doc_id and text, by the states of the base model.
        loss_drops: share (n,) by which the base model's loss on the texts of such a frame falls during a warm-up on the
            target; NaN where there is nothing to predict.
        gradients: (n, D) of the base model's last layer on the texts of such a frame.
    """

    scores: pl.DataFrame
    pool: Pool
    target: npt.NDArray[Any]
    budget: int | str
    seed: int
    direction: Direction = "toward"
    settings: SelectionSettings = dataclasses.field(default_factory=SelectionSettings)
    documents: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    target_texts: pl.Series | None = None
    potentials: Potentials | None = None
    relevance: Mapping[str, float] | None = None
    away_scores: pl.DataFrame | None = None
    shared: Mapping[str, pl.DataFrame] = dataclasses.field(default_factory=dict)
    toxicity: Callable[[pl.DataFrame], npt.NDArray[Any]] | None = None
    states: Callable[[pl.DataFrame], npt.NDArray[Any]] | None = None
    loss_drops: Callable[[pl.DataFrame], npt.NDArray[Any]] | None = None
    gradients: Callable[[pl.DataFrame], npt.NDArray[Any]] | None = None
    engine: Engine | None = None
    scored: Scored | None = None

    @property
    def available(self) -> int:
        """How many candidates may be selected."""
        return self.scores.height if self.scored is None else self.scored.available

    @property
    def helping(self) -> int:
        """How many of them have a score that says that they help."""
        if self.scored is not None:
            return self.scored.helping(self.sign)
        return int((self.scores.get_column("score") * self.sign < 0).sum())

    def parts_of_scores(self) -> Iterator[pl.DataFrame]:
        """doc_id, source and score of the candidates that may be selected, part by part."""
        return iter([self.scores]) if self.scored is None else self.scored.parts()

    def selectable(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Of `frames`, one with a doc_id for every candidate of a shard of the pool, what may be selected."""
        if self.scored is not None:
            yield from self.scored.beside(frames)
            return
        yield pl.concat(frames).join(self.scores.select("doc_id"), on="doc_id", how="semi", maintain_order="left")

    @property
    def sign(self) -> int:
        """1 toward the target, −1 away from it: what a score in which low means near is multiplied with."""
        return -1 if self.direction == "away" else 1

    def documents_of_candidates(self, columns: list[str]) -> Iterator[pl.DataFrame]:
        """doc_id and `columns` of every candidate that may be selected, shard by shard, each document once."""
        for candidates in self.shards_of_candidates():
            yield candidates.read(columns)

    def shards_of_candidates(self) -> Iterator[ShardCandidates]:
        """Where the candidates are that may be selected, shard by shard, each document once."""
        for source, folder in self.documents.items():
            wanted = self.scores.filter(pl.col("source") == source).get_column("doc_id").implode()
            for path in shard_paths(folder):
                doc_ids = read_parquet(path, columns=["doc_id"]).get_column("doc_id")
                yield ShardCandidates(path, doc_ids.is_in(wanted).arg_true())

    def over_shards(
        self, function: Callable[[Any], pl.DataFrame], items: Iterable[Any], name: str
    ) -> Iterator[pl.DataFrame]:
        """`function` of each of `items`, in their order: by the workers of the engine, or by this process."""
        engine = LocalEngine(1) if self.engine is None or self.engine.is_local else self.engine
        return (found for _, found in mapped(engine, function, items, name=name))


@dataclasses.dataclass(frozen=True)
class ShardCandidates:
    """Rows of the shard of documents at `path`."""

    path: Path
    rows: pl.Series

    def read(self, columns: list[str]) -> pl.DataFrame:
        """doc_id and `columns` of these rows."""
        return read_parquet(self.path, columns=["doc_id", *columns])[self.rows]
