"""RDS+: nearest neighbours by the states of the model to be trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from gotd_assets.corpus.shards import iter_documents
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.methods.examples_in_turn import in_turns

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.selection.problem import SelectionProblem


def rds_plus(problem: SelectionProblem) -> pl.DataFrame:
    """RDS+ (Ivison et al. 2025): target examples take turns, each the candidate nearest by the base model's states.

    A text's vector is the mean of the causal model's last hidden states, each weighted by its position (w_t = t/Σt), of
    length one. Padding has no weight, as it has in the authors' code for batches of several texts. Whole shards are
    embedded, and kept, so that every target finds them again: one forward pass of the base model for each candidate.

    Raises:
        InputError: there is no causal language model, texts are missing, or the target is one to stay away from.
    """
    if problem.states is None or not problem.documents or problem.target_texts is None:
        raise InputError("method 'rds-plus' needs texts and a causal language model: set training.model")
    if problem.direction == "away":
        raise InputError("method 'rds-plus' takes what is nearest in turns and cannot select away from a target")
    texts = problem.target_texts
    target = problem.states(pl.DataFrame({"doc_id": [document_id(text) for text in texts], "text": texts}))
    return in_turns(problem, target, _Shards(problem.documents, problem.states))


class _Shards:
    """doc_ids and states of all documents, shard by shard; each document once, though several sources have it."""

    def __init__(self, documents: Mapping[str, Path], states: Callable[[pl.DataFrame], npt.NDArray[Any]]) -> None:
        self._documents, self._states = documents, states

    def __iter__(self) -> Iterator[tuple[pl.Series, npt.NDArray[Any]]]:
        seen = pl.Series("doc_id", [], dtype=pl.String)
        for folder in self._documents.values():
            for shard in iter_documents(folder, ["doc_id", "text"]):
                new = shard.filter(~pl.col("doc_id").is_in(seen.implode()))
                if new.height:
                    seen = seen.append(new.get_column("doc_id"))
                    yield new.get_column("doc_id"), self._states(new)
