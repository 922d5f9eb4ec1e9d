"""Vectors of the words that a text uses: hashed tokens and pairs of neighbours, rare ones count more, projected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.embedding.encoders.token_ids import TokenIds
from gotd_assets.embedding.store import SEGMENT_ROWS
from gotd_assets.embedding.vectors import unit_rows
from gotd_assets.models.encoder import lexical_tokenizer
from gotd_assets.models.encoder_folder import SETTING
from gotd_assets.models.model_files import tokenizer_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.settings.encoder import EncoderSettings

DIMENSION = 384
_PLACES_BITS = 14
_SEED = 0
_SPECIAL = re.compile(r"\[.*\]|<.*>")
# Odd 64-bit numbers that spread neighbouring ids over all places (Knuth's multiplicative hashing).
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class LexicalEncoder:
    """Unigrams and bigrams of the tokens of a tokenizer.json; no model is run, and nothing is fitted to a pool.

    Vocabularies list frequent tokens first, so that a token's rank r stands for how rare it is: by Zipf's law its
    inverse document frequency goes as log(1 + r). A pair is as rare as both together, and at most as the rarest token. Counts
    are damped (1 + log), weighted, brought to length one and projected by a Gaussian matrix, which nearly keeps distances
    (Johnson & Lindenstrauss 1984). A vector depends on its text and the vocabulary alone: pools may grow.

    Raises:
        InputError: the folder has no tokenizer.json, or it cannot be read.
    """

    dimension = DIMENSION

    def __init__(self, settings: EncoderSettings, root: Path) -> None:
        tokenizer = tokenizer_of(lexical_tokenizer(settings, root), SETTING)
        self._token_ids = TokenIds(tokenizer, settings.max_tokens)
        self._weights = rank_weights(tokenizer.get_vocab())
        places = 1 << _PLACES_BITS
        self._projection = np.random.default_rng(_SEED).standard_normal((places, DIMENSION)).astype(np.float32)

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of length one, some at a time; a text without a token has the zero vector."""
        for start in range(0, len(texts), SEGMENT_ROWS):
            ids, lengths = self._token_ids(texts[start : start + SEGMENT_ROWS])
            tick(len(lengths), len(ids))
            yield unit_rows(self._counted(ids, lengths) @ self._projection)

    def _counted(self, ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]) -> Any:
        """Sparse rows (n, places) of length one."""
        from scipy.sparse import csr_array

        text = np.repeat(np.arange(len(lengths)), lengths)
        paired = np.flatnonzero(text[:-1] == text[1:])
        tokens, first, second = ids.astype(np.uint64), paired, paired + 1
        with np.errstate(over="ignore"):
            keys = np.concatenate([tokens * _FIRST, tokens[first] * _SECOND + tokens[second] * _FIRST + _SECOND])
        places = (keys >> np.uint64(64 - _PLACES_BITS)).astype(np.int64)
        weights = self._weights[ids]
        both = np.minimum(weights[first] + weights[second], self._weights.max(initial=0.0))
        shape = len(lengths), 1 << _PLACES_BITS
        where = np.concatenate([text, text[first]]), places
        counts = csr_array((np.ones(len(places)), where), shape=shape)
        total = csr_array((np.concatenate([weights, both]), where), shape=shape)
        for rows in (counts, total):
            rows.sum_duplicates()
        # Both have the same entries, in the same order.
        damped = (1 + np.log(counts.data)) * total.data / counts.data
        norms = np.sqrt(csr_array((damped**2, counts.indices, counts.indptr), shape=shape).sum(axis=1))
        damped /= np.maximum(np.repeat(norms, np.diff(counts.indptr)), 1e-12)
        return csr_array((damped.astype(np.float32), counts.indices, counts.indptr), shape=shape)


def rank_weights(vocabulary: dict[str, int]) -> npt.NDArray[np.float64]:
    """log(1 + rank) by token id, ranks counted by id without special tokens, which weigh nothing."""
    weights = np.zeros(max(vocabulary.values(), default=-1) + 1)
    ordinary = sorted(number for token, number in vocabulary.items() if not _SPECIAL.fullmatch(token))
    weights[ordinary] = np.log1p(np.arange(1, len(ordinary) + 1))
    return weights


def beside(vectors: npt.NDArray[Any], words: npt.NDArray[Any], share: float) -> npt.NDArray[np.float32]:
    """Vectors (n, D + 384): `vectors` and lexical ones of length one, with `share` of the squared distance to the latter.

    A text that has neither keeps a zero vector.
    """
    own, lexical = unit_rows(vectors), unit_rows(words)
    return np.concatenate([own * np.float32(math.sqrt(1 - share)), lexical * np.float32(math.sqrt(share))], axis=1)
