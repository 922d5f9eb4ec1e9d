"""Sentence vectors from a transformers encoder: length-sorted batches, almost no padding, a whole batch per thread."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gotd_assets.embedding.encoders.head import Head
from gotd_assets.embedding.encoders.packed_linear import pack_linear_layers
from gotd_assets.embedding.encoders.pooling import pooled
from gotd_assets.embedding.store import SEGMENT_ROWS
from gotd_assets.errors import InputError
from gotd_assets.execution.threads import TorchThreads
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.encoder_model import load_transformer, most_tokens
from gotd_assets.models.long_texts import beginnings

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.embedding.encoders.openvino_model import OpenVinoModel
    from gotd_assets.settings.encoder import EncoderSettings


# On a processor a batch should stay in its caches; a GPU wants more at a time.
_BATCH_TOKENS = {True: 1024, False: 8192}
# Libraries of matrix products prepare for every shape they meet, which takes longer than the product: between two powers
# of two, texts are padded to one of so many lengths, and as texts are sorted by length, batches of one shape follow each
# other. OpenVINO gets fewer lengths, as it compiles a model for each that a segment has many batches of.
_LENGTHS_PER_OCTAVE = {"torch": 8, "openvino": 4}
_LEAST_STEP = {"torch": 1, "openvino": 16}
_BATCHES_WORTH_COMPILING = 8
# Texts that are sorted by length together, and whose vectors are then handed on to be kept: on a processor a segment takes
# minutes, and a run that is killed should lose a few hundred texts only. A GPU is through with one in seconds.
_BLOCK_ROWS = {True: 512, False: SEGMENT_ROWS}


class TransformerEncoder:
    """Any encoder that transformers' AutoModel loads, and the encoders of T5 and its kin.

    Vectors are pooled from the last hidden states, and transformed further, as a folder of sentence-transformers says.
    """

    def __init__(self, settings: EncoderSettings, root: Path) -> None:
        self._backend = settings.backend
        is_converted = self._backend == "openvino"
        if is_converted and settings.device not in ("auto", "cpu"):
            raise InputError("encoder.backend 'openvino' computes on the processor: set encoder.device to 'cpu'")
        self.device = choose_device("cpu" if is_converted else settings.device, "encoder.device")
        self.dtype = choose_precision(settings.dtype, self.device, "encoder.dtype")
        self.batch_tokens = settings.batch_tokens or _BATCH_TOKENS[self.device.type == "cpu"]
        self._block_rows = _BLOCK_ROWS[self.device.type == "cpu"]
        loaded = load_transformer(settings, root, torch.float32 if is_converted else self.dtype)
        self.tokenizer, self.pooling, self.prompt = loaded.tokenizer, loaded.pooling, loaded.prompt
        self.head = Head(
            loaded.folder, len(self.pooling.modes) * loaded.dimension, is_normalised=settings.normalize
        ).to(self.device)
        self.model = loaded.model.to(self.device).eval()
        if self.device.type == "cpu":
            pack_linear_layers(self.model, self.batch_tokens)
        self.max_tokens = most_tokens(settings, loaded)
        self.dimension = self.head.dimension
        self._converted: OpenVinoModel | None = None
        if is_converted:
            from gotd_assets.embedding.encoders.openvino_model import OpenVinoModel

            self._converted = OpenVinoModel(
                self.model,
                self.tokenizer,
                self.pooling,
                self.dtype,
                prompt=self.prompt,
                threads=torch.get_num_threads(),
                tokens=self.batch_tokens,
            )

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of `texts`, a block at a time; `tick(documents, tokens)` is called after every batch."""
        segments = [texts[start : start + SEGMENT_ROWS] for start in range(0, len(texts), SEGMENT_ROWS)]
        with (
            TorchThreads(self.device, "embedding") as threads,
            ThreadPoolExecutor(1, thread_name_prefix="tokenising") as ahead,
        ):
            # While the model is at one segment, the next is cut into tokens; the tokenizer's own threads hold no lock.
            coming = [ahead.submit(self._batches, segment) for segment in segments[:1]]
            for number in range(len(segments)):
                batches = coming.pop().result()
                coming = [ahead.submit(self._batches, after) for after in segments[number + 1 : number + 2]]
                # No thread waits at the end of a block: those that are through begin the next.
                computed = zip(batches, threads.map(self._vectors, batches), strict=True)
                for _, block in itertools.groupby(computed, key=lambda pair: pair[0].block):
                    rows, parts = [], []
                    for batch, vectors in block:
                        rows.append(batch.rows)
                        parts.append(vectors)
                        tick(len(batch.rows), len(batch.tokens))
                    yield np.concatenate(parts)[np.argsort(np.concatenate(rows))]

    def _batches(self, texts: Sequence[str]) -> list[_Batch]:
        """The texts of each block from the longest to the shortest, so that those of a batch are about equally long."""
        whole = [self.prompt + text for text in texts] if self.prompt else texts
        if self.tokenizer.truncation_side == "right":
            whole = beginnings(whole, self.max_tokens, lambda text, most: len(self._token_ids([text], most)[0]))
        encoded = self._token_ids(list(whole), self.max_tokens)
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        block = np.arange(len(lengths)) // self._block_rows
        order = np.lexsort((-lengths, block))
        lengths, block = lengths[order], block[order]
        tokens = np.fromiter(itertools.chain.from_iterable(encoded[i] for i in order), np.int64, lengths.sum())
        ends = np.cumsum(lengths)
        parts, start = [], 0
        while start < len(order):
            padded = self._padded(int(lengths[start]))
            end_of_block = int(np.searchsorted(block, block[start], side="right"))
            stop = min(start + max(1, self.batch_tokens // padded), end_of_block)
            parts.append((start, stop, padded))
            start = stop
        counts = Counter(padded for _, _, padded in parts)
        return [
            _Batch(
                rows=order[start:stop],
                lengths=lengths[start:stop],
                tokens=tokens[ends[start] - lengths[start] : ends[stop - 1]],
                padded=padded,
                block=int(block[start]),
                is_common=counts[padded] >= _BATCHES_WORTH_COMPILING,
            )
            for start, stop, padded in parts
        ]

    def _token_ids(self, texts: Sequence[str], most: int) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(
            texts,
            truncation=True,
            max_length=most,
            add_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return ids

    def _padded(self, length: int) -> int:
        """The number of tokens to which texts are padded of which the longest has `length`."""
        step = 1 << max(0, (length // _LENGTHS_PER_OCTAVE[self._backend]).bit_length() - 1)
        step = max(step, _LEAST_STEP[self._backend])
        return min(-(-max(1, length) // step) * step, self.max_tokens)

    def _vectors(self, batch: _Batch) -> npt.NDArray[np.float32]:
        used = np.arange(batch.padded) < batch.lengths[:, None]
        ids = np.full(used.shape, self.tokenizer.pad_token_id or 0, dtype=np.int64)
        ids[used] = batch.tokens
        if self._converted is not None:
            found = self._converted(ids, used.astype(np.int64), batch.is_common)
            if self.head.is_empty:
                return found
            with torch.inference_mode():
                further: npt.NDArray[np.float32] = self.head(torch.from_numpy(found)).numpy()
            return further
        with torch.inference_mode():
            mask = torch.from_numpy(used).to(self.device).long()
            hidden = self.model(
                input_ids=torch.from_numpy(ids).to(self.device), attention_mask=None if used.all() else mask
            ).last_hidden_state
            vectors: npt.NDArray[np.float32] = self.head(pooled(hidden, mask, self.pooling)).cpu().numpy()
        return vectors


@dataclasses.dataclass(frozen=True, eq=False)
class _Batch:
    """Texts that pass through the model together: rows in the input (n,), lengths (n,) descending, all tokens in a row.

    `padded` is the length they are padded to, `block` numbers what they are handed on with, `is_common` says whether the
    segment has many batches of that length.
    """

    rows: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    padded: int
    block: int
    is_common: bool
