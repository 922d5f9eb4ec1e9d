"""Sentence vectors from static token embeddings (model2vec): a mean of looked-up rows, thousands of texts a second."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.embedding.store import SEGMENT_ROWS
from gotd_assets.errors import InputError
from gotd_assets.models.encoder import SETTING, STATIC_EMBEDDINGS
from gotd_assets.models.location import find_model

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from gotd_assets.settings.encoder import EncoderSettings


class StaticEncoder:
    """A folder in model2vec's format: tokenizer.json and model.safetensors.

    The latter holds `embeddings`, a row for every token or, with `mapping` (V,) of numbers of rows, for every kind of
    token, and maybe `weights` (V,) of tokens. As in model2vec the tokenizer's unknown token counts for nothing.

    The format is read here and not by the package model2vec, which is as fast: that cuts a text at `max_tokens` times
    the median length of a token before it looks at its tokens, so that texts of short words lose some; and it takes
    tables, weights and vocabularies that do not belong together.
    """

    def __init__(self, settings: EncoderSettings, root: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        path = find_model(settings.model, root, SETTING)
        if path is None or not (path / "tokenizer.json").is_file():
            raise InputError(
                f"encoder.model {settings.model!r}: a static encoder is a folder with tokenizer.json and model.safetensors"
            )
        tensors = load_file(path / "model.safetensors")
        name = next((name for name in tensors if name in STATIC_EMBEDDINGS), None)
        if name is None:
            raise InputError(f"{path / 'model.safetensors'} has no tensor 'embeddings'; it has: {', '.join(tensors)}")
        self.embeddings = tensors[name].astype(np.float32)
        self.tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(settings.max_tokens)
        tokens = self.tokenizer.get_vocab_size()
        self.rows = tensors.get("mapping", np.arange(len(self.embeddings))).astype(np.int64)
        self.weights = tensors.get("weights", np.ones(len(self.rows), dtype=np.float32)).astype(np.float32)
        if min(len(self.rows), len(self.weights)) < tokens or self.rows.max(initial=0) >= len(self.embeddings):
            raise InputError(
                f"{path}: its tokenizer knows {tokens} tokens, but there are {len(self.rows)} rows and "
                f"{len(self.weights)} weights for tokens, of {len(self.embeddings)} embeddings: they do not belong together"
            )
        self.unknown = _unknown_token(self.tokenizer)
        self.dimension = self.embeddings.shape[1]

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of `texts`, some at a time; a text without a known token has the zero vector."""
        from scipy.sparse import csr_array

        for start in range(0, len(texts), SEGMENT_ROWS):
            part = list(texts[start : start + SEGMENT_ROWS])
            batch = self.tokenizer.encode_batch_fast(part, add_special_tokens=False)
            ids = np.fromiter(itertools.chain.from_iterable(entry.ids for entry in batch), dtype=np.int64)
            text = np.repeat(np.arange(len(batch)), [len(entry.ids) for entry in batch])
            known = ids != self.unknown
            ids, text = ids[known], text[known]
            counts = np.bincount(text, minlength=len(batch))
            ends = np.concatenate([[0], np.cumsum(counts)])
            # A sparse row for each text, so that the vectors of its tokens are added and never stand side by side.
            tokens = csr_array((self.weights[ids], self.rows[ids], ends), shape=(len(batch), len(self.embeddings)))
            vectors = (tokens @ self.embeddings / np.maximum(counts, 1)[:, None]).astype(np.float32)
            tick(len(batch), len(ids))
            yield vectors


def _unknown_token(tokenizer: Tokenizer) -> int:
    """Id of the token that stands for what the tokenizer does not know; -1 if there is none."""
    model = json.loads(tokenizer.to_str())["model"]
    number = model["unk_id"] if model.get("unk_id") is not None else tokenizer.token_to_id(model.get("unk_token") or "")
    return -1 if number is None else int(number)
