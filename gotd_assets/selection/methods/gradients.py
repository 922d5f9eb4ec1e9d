"""LESS-lite: nearest neighbours by gradients of the model to be trained, among what GOT-D finds best."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.embedding.vectors import unit_rows
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.budget import Allowance
from gotd_assets.selection.methods.examples_in_turn import documents_within, in_turns

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem

_TIMES = 10
_PART = 512


def less_lite(problem: SelectionProblem) -> pl.DataFrame:
    """Target examples take turns, each the candidate whose gradient points most where its own does.

    After LESS (Xia et al. 2024), made cheap: gradients are of the base model as it is, by the weights of its last layer (there of
    adapters, after a warm-up, with Adam's moments), sketched to 4,096 numbers, and only the candidates that GOT-D ranks first
    are asked, ten times the budget: a forward and a backward pass of one layer for each. Turns as in 'round-robin'.

    Raises:
        InputError: there is no language model, texts are missing, or the target is one to stay away from.
    """
    if problem.gradients is None or not problem.documents or problem.target_texts is None:
        raise InputError("method 'less-lite' needs texts and a language model: set training.model")
    if problem.direction == "away":
        raise InputError("method 'less-lite' takes what is nearest in turns and cannot select away from a target")
    wanted = documents_within(Allowance.of(problem))
    first = problem.scores.sort("score", "doc_id").head(_TIMES * wanted)
    texts = problem.target_texts
    target = problem.gradients(pl.DataFrame({"doc_id": [document_id(text) for text in texts], "text": texts}))
    asked = dataclasses.replace(problem, scores=first)
    documents = pl.concat(asked.documents_of_candidates(["text"])).unique("doc_id").sort("doc_id")
    return in_turns(asked, unit_rows(target), _Parts(documents, problem.gradients))


class _Parts:
    """doc_ids and gradients of length one, part by part, as often as they are asked for."""

    def __init__(self, documents: pl.DataFrame, gradients: Callable[[pl.DataFrame], npt.NDArray[Any]]) -> None:
        self._documents, self._gradients = documents, gradients

    def __iter__(self) -> Iterator[tuple[pl.Series, npt.NDArray[Any]]]:
        for part in self._documents.iter_slices(_PART):
            yield part.get_column("doc_id"), np.asarray(unit_rows(self._gradients(part)))
