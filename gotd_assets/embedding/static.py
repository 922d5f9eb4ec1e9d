"""Sentence vectors from static token embeddings (model2vec): a mean of looked-up rows, thousands of texts a second."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.embedding.model_files import SETTING
from gotd_assets.errors import InputError
from gotd_assets.model_location import find_model

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.settings import EncoderSettings

_WINDOW = 2048


class StaticEncoder:
    """A folder in model2vec's format: model.safetensors with `embeddings` (V, D), tokenizer.json."""

    def __init__(self, settings: EncoderSettings, root: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        path = find_model(settings.model, root, SETTING)
        if path is None or not (path / "tokenizer.json").is_file():
            raise InputError(
                f"encoder.model {settings.model!r}: a static encoder is a folder with tokenizer.json and model.safetensors"
            )
        tensors = load_file(path / "model.safetensors")
        if "embeddings" not in tensors:
            raise InputError(f"{path / 'model.safetensors'} has no tensor 'embeddings'; it has: {', '.join(tensors)}")
        self.embeddings = tensors["embeddings"].astype(np.float32)
        self.weights = tensors.get("weights", np.ones(len(self.embeddings), dtype=np.float32)).astype(np.float32)
        self.tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        self.tokenizer.enable_truncation(settings.max_tokens)
        self.dimension = self.embeddings.shape[1]

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> npt.NDArray[np.float32]:
        """Vectors (n, D) float32 of `texts`; a text without a known token has the zero vector."""
        from scipy.sparse import csr_array

        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _WINDOW):
            batch = self.tokenizer.encode_batch_fast(list(texts[start : start + _WINDOW]), add_special_tokens=False)
            ends = np.cumsum([0, *(len(entry.ids) for entry in batch)])
            ids = np.fromiter(itertools.chain.from_iterable(entry.ids for entry in batch), np.int32, count=ends[-1])
            # A sparse row for each text, so that the vectors of its tokens are added and never stand side by side.
            tokens = csr_array((self.weights[ids], ids, ends), shape=(len(batch), len(self.embeddings)))
            result[start : start + len(batch)] = tokens @ self.embeddings / np.maximum(np.diff(ends), 1)[:, None]
            tick(len(batch), len(ids))
        return result
