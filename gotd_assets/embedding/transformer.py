"""Sentence vectors from a transformers encoder: length-sorted batches, almost no padding, a whole batch per thread."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gotd_assets.embedding.model_files import SETTING, pooling_of
from gotd_assets.embedding.packed_linear import pack_linear_layers
from gotd_assets.embedding.pooling import pooled
from gotd_assets.embedding.store import SEGMENT_ROWS
from gotd_assets.errors import InputError
from gotd_assets.model_location import find_model, hub_options
from gotd_assets.threads import TorchThreads

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.embedding.openvino_model import OpenVinoModel
    from gotd_assets.settings import EncoderSettings

# On a processor a batch should stay in its caches; a GPU wants more at a time.
_BATCH_TOKENS = {True: 1024, False: 8192}
# Libraries of matrix products prepare for every shape they meet, which takes longer than the product: between two powers
# of two, texts are padded to one of so many lengths, and as a whole segment is sorted by length, batches of one shape
# follow each other. OpenVINO gets fewer lengths, as it compiles a model for each that a segment has many batches of.
_LENGTHS_PER_OCTAVE = {"torch": 8, "openvino": 4}
_LEAST_STEP = {"torch": 1, "openvino": 16}
_BATCHES_WORTH_COMPILING = 8


class TransformerEncoder:
    """Any encoder that transformers' AutoModel loads.

    Vectors are the mean of the last hidden states under the attention mask, or the first token's ('cls').
    """

    def __init__(self, settings: EncoderSettings, root: Path) -> None:
        self.device = torch.device(_device(settings.device))
        self.dtype = _dtype(settings.dtype, self.device)
        self.batch_tokens = settings.batch_tokens or _BATCH_TOKENS[self.device.type == "cpu"]
        self._backend = settings.backend
        is_converted = self._backend == "openvino"
        if is_converted and self.device.type != "cpu":
            raise InputError("encoder.backend 'openvino' computes on the processor: set encoder.device to 'cpu'")
        model, self.tokenizer, self.pooling = load_transformer(
            settings, root, torch.float32 if is_converted else self.dtype
        )
        self.model = model.to(self.device).eval()
        if self.device.type == "cpu":
            pack_linear_layers(self.model, self.batch_tokens)
        self.max_tokens = most_tokens(settings, model, self.tokenizer)
        self.dimension = int(model.config.hidden_size)
        self._converted: OpenVinoModel | None = None
        if is_converted:
            from gotd_assets.embedding.openvino_model import OpenVinoModel

            self._converted = OpenVinoModel(
                self.model,
                self.tokenizer,
                self.pooling,
                self.dtype,
                threads=torch.get_num_threads(),
                tokens=self.batch_tokens,
            )

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of `texts`, a segment at a time; `tick(documents, tokens)` is called after every batch."""
        segments = [texts[start : start + SEGMENT_ROWS] for start in range(0, len(texts), SEGMENT_ROWS)]
        with (
            TorchThreads(self.device, "embedding") as threads,
            ThreadPoolExecutor(1, thread_name_prefix="tokenising") as ahead,
        ):
            # While the model is at one segment, the next is cut into tokens; the tokenizer's own threads hold no lock.
            coming = [ahead.submit(self._batches, segment) for segment in segments[:1]]
            for number, segment in enumerate(segments):
                batches = coming.pop().result()
                coming = [ahead.submit(self._batches, after) for after in segments[number + 1 : number + 2]]
                result = np.empty((len(segment), self.dimension), dtype=np.float32)
                for batch, vectors in zip(batches, threads.map(self._vectors, batches), strict=True):
                    result[batch.rows] = vectors
                    tick(len(batch.rows), len(batch.tokens))
                yield result

    def _batches(self, texts: Sequence[str]) -> list[_Batch]:
        """The texts from the longest to the shortest, so that those of a batch are about equally long."""
        encoded = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_tokens,
            add_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        order = np.argsort(-lengths, kind="stable")
        lengths = lengths[order]
        tokens = np.fromiter(itertools.chain.from_iterable(encoded[i] for i in order), np.int64, lengths.sum())
        ends = np.cumsum(lengths)
        parts, start = [], 0
        while start < len(order):
            padded = self._padded(int(lengths[start]))
            stop = min(start + max(1, self.batch_tokens // padded), len(order))
            parts.append((start, stop, padded))
            start = stop
        counts = Counter(padded for _, _, padded in parts)
        return [
            _Batch(
                rows=order[start:stop],
                lengths=lengths[start:stop],
                tokens=tokens[ends[start] - lengths[start] : ends[stop - 1]],
                padded=padded,
                is_common=counts[padded] >= _BATCHES_WORTH_COMPILING,
            )
            for start, stop, padded in parts
        ]

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
            return self._converted(ids, used.astype(np.int64), batch.is_common)
        with torch.inference_mode():
            mask = torch.from_numpy(used).to(self.device).long()
            hidden = self.model(
                input_ids=torch.from_numpy(ids).to(self.device), attention_mask=None if used.all() else mask
            ).last_hidden_state
            vectors: npt.NDArray[np.float32] = pooled(hidden, mask, self.pooling).cpu().numpy()
        return vectors


def load_transformer(settings: EncoderSettings, root: Path, dtype: torch.dtype) -> tuple[Any, Any, str]:
    """The encoder's model on the processor, its tokenizer, and how its token vectors are pooled.

    Raises:
        InputError: it is not there, is no encoder of transformers, or asks for a pooling that is not supported.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = find_model(settings.model, root, SETTING)
    name = settings.model if path is None else str(path)
    pooling = pooling_of(settings, path)
    options: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    try:
        if path is None:
            options |= hub_options(settings.model, settings.revision, SETTING)
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, **options)
        model = AutoModel.from_pretrained(name, dtype=dtype, use_safetensors=True, **options)
    except (OSError, ValueError) as error:
        raise InputError(
            f"encoder.model {settings.model!r} cannot be loaded: {error}. Name a local folder with config.json, "
            "tokenizer and *.safetensors, or make the hub reachable"
        ) from error
    return model, tokenizer, pooling


def most_tokens(settings: EncoderSettings, model: Any, tokenizer: Any) -> int:
    """How many tokens of a text the model is given."""
    # RoBERTa-like models count more positions than tokens; their tokenizers know the tokens.
    positions = getattr(model.config, "max_position_embeddings", settings.max_tokens)
    return int(min(settings.max_tokens, positions, tokenizer.model_max_length))


@dataclasses.dataclass(frozen=True, eq=False)
class _Batch:
    """Texts that pass through the model together: rows in the input (n,), lengths (n,) descending, all tokens in a row.

    `padded` is the length they are padded to, `is_common` whether the segment has many batches of that length.
    """

    rows: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    padded: int
    is_common: bool


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if _has_bfloat16_arithmetic() else torch.float32


def _has_bfloat16_arithmetic() -> bool:
    capabilities: Mapping[str, Any] = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
