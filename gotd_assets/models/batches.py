"""Token ids, and documents padded to one batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gotd_assets.models.long_texts import beginnings

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


TokenIds: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"
Seed: TypeAlias = "int | Sequence[int]"
MEASURING_BATCH_TOKENS = 4096
"""Tokens in a batch, padding included, where no gradient is kept."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some documents, padded on the right.

    Attributes:
        documents: int64 (predictions,), the document in the batch that a prediction belongs to.
        inputs: int64 (documents, length), what the model sees.
        attention: int64 (documents, length), 1 where there is a token.
        positions: int64 (predictions,), index into the flattened (documents x length) of the state that predicts.
        labels: int64 (predictions,), the token predicted.
    """

    documents: TokenIds
    inputs: torch.Tensor
    attention: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledIds:
    """Token ids of a text, and the number of its label."""

    ids: TokenIds
    label: int

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True, eq=False)
class AnsweredIds:
    """Token ids of a conversation, and which of its tokens (tokens,) are answers: only these are predicted."""

    ids: TokenIds
    answered: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> list[TokenIds]:
    """Token ids of each text (int64), special tokens as the tokenizer adds them, cut to `max_tokens`."""
    if not texts:
        return []

    def token_ids(whole: list[str], most: int) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(whole, truncation=True, max_length=most, return_attention_mask=False)[
            "input_ids"
        ]
        return ids

    texts = list(texts)
    if tokenizer.truncation_side == "right":
        texts = beginnings(texts, max_tokens, lambda text, most: len(token_ids([text], most)[0]))
    return [np.asarray(ids, dtype=np.int64) for ids in token_ids(texts, max_tokens)]


def model_options(model: PreTrainedModel) -> dict[str, bool]:
    """What a forward pass of `model` is told so that it keeps nothing for generation."""
    return {"use_cache": False} if getattr(model.config, "use_cache", False) else {}


def padded(
    documents: Sequence[TokenIds], pad: int
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.int64]], np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    """Token ids (documents, length) with `pad` on the right, and 1 where there is a token; int64 both.

    Of a document without tokens the model sees one of padding.
    """
    lengths = np.array([len(ids) for ids in documents])
    places = np.arange(max(1, lengths.max()))
    inputs = np.full((len(documents), len(places)), pad, dtype=np.int64)
    is_token = places < lengths[:, None]
    inputs[is_token] = np.concatenate(documents)
    return inputs, (places < np.maximum(lengths, 1)[:, None]).astype(np.int64)


def by_length(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Document numbers in batches of like length, longest first, each at most `batch_tokens` with its padding."""
    batches: list[list[int]] = []
    for index in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and longest * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
