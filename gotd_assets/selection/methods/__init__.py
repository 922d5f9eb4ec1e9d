"""Selection methods: from a scored pool to a ranking, all behind one protocol.

A method looks at a `SelectionProblem` and returns a frame with `doc_id` and `score` (the lower the better), where it
has one a `reason` in a few words, and where it goes in steps the `step` of each document. Steps come one after the
other, scores within a step from low to high, and ties break by `doc_id`, so that the same problem gives the same
ranking on every machine.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal, Protocol, TypeAlias

import polars as pl

from gotd_assets.catalogue.columns import Origin
from gotd_assets.errors import InputError
from gotd_assets.selection.budget import Allowance
from gotd_assets.selection.methods.draws import all_domains, dapt, random
from gotd_assets.selection.methods.examples_in_turn import nearest_in_turn
from gotd_assets.selection.methods.gradient import gotd, gotd_away, gotd_debiased, gotd_toward_and_away
from gotd_assets.selection.methods.gradients import less_lite
from gotd_assets.selection.methods.learned_from_words import betr, gotd_distilled
from gotd_assets.selection.methods.neighbours import nearest_neighbours
from gotd_assets.selection.methods.resampling import dsir
from gotd_assets.selection.methods.round_robin import gotd_round_robin
from gotd_assets.selection.methods.rounds import gotd_rounds
from gotd_assets.selection.methods.states import rds_plus
from gotd_assets.selection.methods.toxicity import rtp
from gotd_assets.selection.methods.tsds import tsds
from gotd_assets.selection.methods.warm_up import tacs
from gotd_assets.selection.problem import SelectionProblem
from gotd_assets.selection.scored import lowest
from gotd_assets.settings.selection import Budget

__all__ = ["METHODS", "Method", "Rank", "SelectionProblem", "method_named", "select"]

Need: TypeAlias = Literal[
    "potentials", "relevance", "texts", "away_scores", "shared", "toxicity", "states", "loss_drops", "gradients"
]


class Rank(Protocol):
    """The work of a method."""

    def __call__(self, problem: SelectionProblem) -> pl.DataFrame | Iterator[pl.DataFrame]:
        """Rank the candidates of `problem`: doc_id, score, and perhaps reason and step, at once or part by part."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to select.

    Attributes:
        rank: the work.
        made_of: columns of assets that its ranks and scores come from.
        needs: parts of the problem it reads beyond scores, vectors, budget and seed.
        settings: fields of `selection` in gotd.yaml that shape its result.
        gradient: 'ranks' if its order is that of the gradient of the transport cost, 'begins' if it begins with it; for
            others a gradient does not tell who would be selected.
        calibrated: whether a score below zero says that the document helps, so that 'until-zero' goes by it; for the
            others 'until-zero' takes as many documents as for 'gotd'.
        resampled: whether its stability under bootstrap samples of the target is measured: it goes by the target's
            vectors, draws nothing at random, and is cheap to run again.
        by_part: whether it goes part by part through candidates that stand in `problem.scored`, so that only the beginning
            of its ranking is held.
        nested: whether its ranking is the same for every budget.
        code: raised when the same problem would give another selection; only selections by this method are made again.
    """

    rank: Rank
    made_of: tuple[Origin, ...] = ()
    needs: frozenset[Need] = frozenset()
    settings: tuple[str, ...] = ()
    gradient: Literal["ranks", "begins"] | None = None
    calibrated: bool = False
    resampled: bool = False
    by_part: bool = False
    nested: bool = True
    code: int = 1


_SCORE = ("candidate_scores", "score")
_POTENTIAL = ("ot_potentials", "g")
_VECTOR = ("candidate_embeddings", "vector")
_TARGET_VECTOR = ("target_embeddings", "vector")
_TEXT = ("raw_candidates", "text")

METHODS: Mapping[str, Method] = {
    "gotd": Method(gotd, (_SCORE,), gradient="ranks", calibrated=True, resampled=True, by_part=True),
    "gotd-away": Method(gotd_away, (_SCORE,), gradient="ranks", calibrated=True, resampled=True, by_part=True),
    "gotd-debiased": Method(
        gotd_debiased,
        (_VECTOR, _POTENTIAL),
        frozenset({"potentials"}),
        calibrated=True,
        resampled=True,
        by_part=True,
        code=2,
    ),
    "gotd-toward-and-away": Method(
        gotd_toward_and_away,
        (_SCORE,),
        frozenset({"away_scores"}),
        ("away_target", "away_weight"),
        calibrated=True,
        resampled=True,
    ),
    "gotd-rounds": Method(
        gotd_rounds,
        (_VECTOR, _POTENTIAL),
        frozenset({"potentials"}),
        ("rounds", "mixing", "rounds_similarity"),
        gradient="begins",
        nested=False,
    ),
    "gotd-round-robin": Method(gotd_round_robin, (_SCORE,), frozenset({"shared"}), ("round_robin",)),
    "random": Method(random),
    "all-domains": Method(all_domains),
    "dapt": Method(dapt, (("domain_relevance", "distance"),), frozenset({"relevance"})),
    "tapt-c": Method(nearest_neighbours, (_VECTOR, _TARGET_VECTOR), resampled=True, by_part=True),
    "round-robin": Method(nearest_in_turn, (_VECTOR, _TARGET_VECTOR), resampled=True),
    "dsir": Method(dsir, (_TEXT, ("target_documents", "text")), frozenset({"texts"}), ("dsir",)),
    "tsds": Method(tsds, (_VECTOR, _TARGET_VECTOR), settings=("tsds",)),
    "rds-plus": Method(rds_plus, (_TEXT, ("target_documents", "text")), frozenset({"texts", "states"})),
    "tacs": Method(tacs, (_TEXT, ("target_documents", "text")), frozenset({"texts", "loss_drops"}), ("tacs",)),
    "less-lite": Method(
        less_lite, (_SCORE, _TEXT, ("target_documents", "text")), frozenset({"texts", "gradients"}), nested=False
    ),
    "betr": Method(betr, (_TEXT, _VECTOR, _TARGET_VECTOR), frozenset({"texts"}), ("learned",)),
    "gotd-distilled": Method(gotd_distilled, (_TEXT, _SCORE), frozenset({"texts"}), ("learned",)),
    "rtp": Method(rtp, (_TEXT,), frozenset({"toxicity"})),
}


def method_named(name: str) -> Method:
    """The method registered as `name`.

    Raises:
        InputError: there is none.
    """
    if name not in METHODS:
        raise InputError(f"selection.methods: there is no method {name!r}; known are: {', '.join(METHODS)}")
    return METHODS[name]


def select(name: str, problem: SelectionProblem) -> pl.DataFrame:
    """What method `name` selects within the budget: doc_id, score, rank (from 1), perhaps reason and step; best first.

    Raises:
        InputError: the method is unknown, or the budget exceeds the candidates that may be selected.
    """
    method = method_named(name)
    until_zero = method.calibrated and Budget.parse(problem.budget).kind == "until-zero"
    allowance = None if until_zero else Allowance.of(problem)
    ranked = method.rank(problem)
    parts = iter([ranked]) if isinstance(ranked, pl.DataFrame) else ranked
    if allowance is None:
        chosen = lowest(part.filter(pl.col("score") < 0) for part in parts)
    elif allowance.lengths is None:
        chosen = lowest(parts, allowance.amount)
    else:
        chosen = allowance.take(lowest(parts))
    if not chosen.height:
        raise InputError(
            f"method {name!r} selects nothing within selection.budget {problem.budget}: no candidate has a negative score, "
            "or the first is longer than the budget; give a number of documents"
        )
    return chosen.with_columns(rank=pl.int_range(1, chosen.height + 1, dtype=pl.Int64))
