"""How far down a ranking a budget reaches."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.settings.selection import Budget

if TYPE_CHECKING:
    from gotd_assets.selection.problem import SelectionProblem


@dataclasses.dataclass(frozen=True)
class Allowance:
    """A budget in numbers: so many documents, or so many tokens.

    Attributes:
        amount: documents, or tokens where `lengths` is given.
        lengths: doc_id and tokens of every candidate, or None.
    """

    amount: int
    lengths: pl.DataFrame | None = None

    @classmethod
    def of(cls, problem: SelectionProblem) -> Allowance:
        """What `problem.budget` allows.

        Raises:
            InputError: it exceeds the candidates that may be selected, or reaches none of them.
        """
        budget = Budget.parse(problem.budget)
        available = problem.available
        if budget.kind == "tokens":
            return cls(int(budget.amount), _lengths(problem, int(budget.amount)))
        if budget.kind == "until-zero":
            helpful = problem.helping
            if not helpful:
                raise InputError(
                    "selection.budget is 'until-zero', but no candidate that may be selected has a negative score: give "
                    "a number of documents, or add sources"
                )
            return cls(helpful)
        amount = int(budget.amount) if budget.kind == "documents" else max(1, round(budget.amount * available))
        if amount > available or not available:
            raise InputError(
                f"selection.budget is {problem.budget}, but only {available} candidates may be selected: "
                "lower the budget or add sources"
            )
        return cls(amount)

    def take(self, ranking: pl.DataFrame, share: float = 1.0, spent: pl.DataFrame | None = None) -> pl.DataFrame:
        """The longest beginning of `ranking` within `share` of the budget, of which `spent` is gone already."""
        taken = 0 if spent is None else spent.height
        if self.lengths is None:
            return ranking.head(max(0, round(self.amount * share) - taken))
        used = 0 if spent is None else int(spent.join(self.lengths, on="doc_id").get_column("tokens").sum())
        tokens = ranking.join(self.lengths, on="doc_id", how="left", maintain_order="left").get_column("tokens")
        return ranking.filter(tokens.cum_sum() <= self.amount * share - used)


def _lengths(problem: SelectionProblem, amount: int) -> pl.DataFrame:
    shards = list(problem.documents_of_candidates(["n_chars"]))
    per_token = problem.settings.characters_per_token
    lengths = (
        pl.concat(shards)
        .unique("doc_id")
        .select("doc_id", tokens=(pl.col("n_chars") / per_token).ceil().cast(pl.Int64))
        if shards
        else pl.DataFrame(schema={"doc_id": pl.String, "tokens": pl.Int64})
    )
    total, shortest = lengths.get_column("tokens").sum(), lengths.get_column("tokens").min()
    rule = f"estimated as characters / {per_token:g}"
    if amount > total:
        raise InputError(
            f"selection.budget is {problem.budget}, but the {lengths.height} candidates that may be selected hold "
            f"only {total:,} tokens ({rule}): lower the budget or add sources"
        )
    if isinstance(shortest, int) and amount < shortest:
        raise InputError(
            f"selection.budget is {problem.budget}, but the shortest candidate has {math.ceil(shortest):,} tokens "
            f"({rule}): raise the budget"
        )
    return lengths
