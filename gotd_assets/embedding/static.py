"""Sentence vectors from static token embeddings (model2vec): a mean of looked-up rows, thousands of texts a second."""

from __future__ import annotations

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
        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _WINDOW):
            batch = self.tokenizer.encode_batch_fast(list(texts[start : start + _WINDOW]), add_special_tokens=False)
            lengths = np.array([len(entry.ids) for entry in batch])
            ids = np.concatenate([np.array(entry.ids, dtype=np.int64) for entry in batch])
            used = lengths > 0
            if len(ids):
                rows = self.embeddings[ids] * self.weights[ids, None]
                starts = (np.cumsum(lengths) - lengths)[used]
                result[start : start + len(batch)][used] = np.add.reduceat(rows, starts, axis=0) / lengths[used, None]
            tick(len(batch), len(ids))
        return result
