"""Sentence vectors from static token embeddings (model2vec): a mean of looked-up rows, thousands of texts a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.embedding.encoders.token_ids import TokenIds
from gotd_assets.embedding.store import SEGMENT_ROWS
from gotd_assets.embedding.vectors import unit_rows
from gotd_assets.errors import InputError
from gotd_assets.models.encoder import STATIC_EMBEDDINGS, counts_unknown, unknown_token
from gotd_assets.models.encoder_folder import SETTING, EncoderFolder, read_encoder_folder
from gotd_assets.models.location import find_model
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
        self._token_ids = TokenIds(self.tokenizer, settings.max_tokens)
        tokens = self.tokenizer.get_vocab_size()
        self.rows = tensors.get("mapping", np.arange(len(self.embeddings))).astype(np.int64)
        self.weights = tensors.get("weights", np.ones(len(self.rows), dtype=np.float32)).astype(np.float32)
        if min(len(self.rows), len(self.weights)) < tokens or self.rows.max(initial=0) >= len(self.embeddings):
            raise InputError(
                f"{path}: its tokenizer knows {tokens} tokens, but there are {len(self.rows)} rows and "
                f"{len(self.weights)} weights for tokens, of {len(self.embeddings)} embeddings: they do not belong together"
            )
        self.unknown = -1 if counts_unknown(folder, whole) else unknown_token(self.tokenizer)
        self._prompt = folder.prompt(settings)
        self._is_normalised = bool(folder.after) and not settings.normalize
        self._cut = folder.dimensions
        self.dimension = min(self.embeddings.shape[1], self._cut or self.embeddings.shape[1])

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of `texts`, some at a time; a text without a known token has the zero vector."""
        segments = [texts[start : start + SEGMENT_ROWS] for start in range(0, len(texts), SEGMENT_ROWS)]
        with ThreadPoolExecutor(1, thread_name_prefix="tokenising") as ahead:
            # While the vectors of one segment are added, the next is cut into tokens.
            coming = [ahead.submit(self._tokens, segment) for segment in segments[:1]]
            for number in range(len(segments)):
                ids, ends = coming.pop().result()
                coming = [ahead.submit(self._tokens, after) for after in segments[number + 1 : number + 2]]
                vectors = (self._sums(ids, ends[:-1]) / np.maximum(np.diff(ends), 1)[:, None]).astype(np.float32)
                tick(len(vectors), len(ids))
                yield (unit_rows(vectors) if self._is_normalised else vectors)[:, : self._cut]

    def _tokens(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Known tokens of all texts in a row, and where those of each text begin, and where the last one's end."""
        ids, lengths = self._token_ids([self._prompt + text for text in texts] if self._prompt else texts)
        is_known = ids != self.unknown
        return ids[is_known], np.concatenate([[0], np.cumsum(is_known)])[np.concatenate([[0], np.cumsum(lengths)])]

    def _sums(self, ids: npt.NDArray[np.int32], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The weighted vectors of tokens, added in float32 in the order of each text, whatever the threads and the batch."""
        from torch import from_numpy
        from torch.nn.functional import embedding_bag

        place = np.zeros(len(self.rows), dtype=np.int64)
        place[ids] = 1
        used = np.flatnonzero(place)
        place[used] = np.arange(len(used))
        weighted = self.embeddings[self.rows[used]] * self.weights[used, None]
        sums: npt.NDArray[np.float32] = embedding_bag(
            from_numpy(place[ids]), from_numpy(weighted), from_numpy(starts), mode="sum"
        ).numpy()
        return sums
