"""Several targets that share one budget."""

import numpy as np
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.selection.problem import SelectionProblem


def gotd_round_robin(problem: SelectionProblem) -> pl.DataFrame:
    """Targets take turns; each takes the document with its most negative gradient among those still there.

    A mixed target (one target whose `path` lists the files of several) is one transport problem, in which a target with
    more documents weighs more; in turns each gets the same. Every target of `selection.round_robin` selects the same
    documents.

    Raises:
        InputError: no targets share the budget, or a candidate lacks a score.
    """
    if not problem.shared:
        raise InputError("method 'gotd-round-robin' needs the scores of the targets in selection.round_robin")
    candidates = problem.scores.select("doc_id").sort("doc_id")
    scores = {}
    for target, known in problem.shared.items():
        scores[target] = candidates.join(known, on="doc_id", how="left", maintain_order="left").get_column("score")
        if scores[target].null_count():
            raise InputError(
                f"{scores[target].null_count()} candidates have no score against {target!r}: materialise "
                "candidate_scores of that target again"
            )
    # Rows are in the order of doc_id, by which ties break.
    orders = [np.argsort(score.to_numpy(), kind="stable").tolist() for score in scores.values()]
    turns = _turns(orders)
    names = list(scores)
    picked = [row for row, _ in turns]
    return pl.DataFrame(
        {
            "doc_id": candidates.get_column("doc_id").gather(picked),
            "score": pl.Series(range(len(turns)), dtype=pl.Float64),
            "reason": [f"turn of {names[turn]}, score {scores[names[turn]][row]:.5g}" for row, turn in turns],
        }
    )


def _turns(orders: list[list[int]]) -> list[tuple[int, int]]:
    """Rows in the order in which they are taken, each with whose turn it was; `orders` are permutations of the rows."""
    count = len(orders[0])
    taken = bytearray(count)
    places = [0] * len(orders)
    turns: list[tuple[int, int]] = []
    while len(turns) < count:
        turn = len(turns) % len(orders)
        order, place = orders[turn], places[turn]
        while taken[order[place]]:
            place += 1
        places[turn] = place + 1
        taken[order[place]] = 1
        turns.append((order[place], turn))
    return turns
