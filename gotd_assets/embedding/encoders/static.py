"""Sentence vectors from static token embeddings (model2vec): a mean of looked-up rows, thousands of texts a second."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.embedding.store import SEGMENT_ROWS
from gotd_assets.embedding.vectors import unit_rows
from gotd_assets.errors import InputError
from gotd_assets.models.encoder import STATIC_EMBEDDINGS, counts_unknown, unknown_token
from gotd_assets.models.encoder_folder import SETTING, EncoderFolder, read_encoder_folder
from gotd_assets.models.location import find_model
from gotd_assets.models.long_texts import beginnings
from gotd_assets.models.model_files import tensors_of, tokenizer_of

if TYPE_CHECKING:
    import numpy.typing as npt

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

        path = find_model(settings.model, root, SETTING)
        folder = EncoderFolder() if path is None else read_encoder_folder(path, settings)
        if path is None or not (path / folder.transformer / "tokenizer.json").is_file():
            raise InputError(
                f"encoder.model {settings.model!r}: a static encoder is a folder with tokenizer.json and model.safetensors"
            )
        whole, path = path, path / folder.transformer
        kinds = {tensor["dtype"] for tensor in tensors_of(path / "model.safetensors", SETTING).values()}
        if "BF16" in kinds:
            raise InputError(
                f"{path / 'model.safetensors'} holds bfloat16, which NumPy does not know: save it as float32"
            )
        tensors = load_file(path / "model.safetensors")
        name = next((name for name in tensors if name in STATIC_EMBEDDINGS), None)
        if name is None:
            raise InputError(f"{path / 'model.safetensors'} has no tensor 'embeddings'; it has: {', '.join(tensors)}")
        self.embeddings = tensors[name].astype(np.float32)
        if not np.isfinite(self.embeddings).all():
            raise InputError(
                f"{path / 'model.safetensors'}: {name} is not all finite: the file is damaged, copy it again"
            )
        self.tokenizer = tokenizer_of(path / "tokenizer.json", SETTING)
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
        self.unknown = -1 if counts_unknown(folder, whole) else unknown_token(self.tokenizer)
        self._prompt, self._max_tokens = folder.prompt(settings), settings.max_tokens
        self._is_normalised = bool(folder.after) and not settings.normalize
        self._cut = folder.dimensions
        self.dimension = min(self.embeddings.shape[1], self._cut or self.embeddings.shape[1])

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of `texts`, some at a time; a text without a known token has the zero vector."""
        from scipy.sparse import csr_array

        for start in range(0, len(texts), SEGMENT_ROWS):
            part = [self._prompt + text for text in texts[start : start + SEGMENT_ROWS]]
            part = beginnings(part, self._max_tokens, self._count)
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
            yield (unit_rows(vectors) if self._is_normalised else vectors)[:, : self._cut]

    def _count(self, text: str, most: int) -> int:
        """Tokens of a text, up to `most`."""
        self.tokenizer.enable_truncation(most)
        found = len(self.tokenizer.encode(text, add_special_tokens=False).ids)
        self.tokenizer.enable_truncation(self._max_tokens)
        return found
