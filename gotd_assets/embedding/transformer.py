"""Sentence vectors from a transformers encoder: length-sorted batches, almost no padding, pooled in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gotd_assets.embedding.model_files import SETTING, pooling_of
from gotd_assets.errors import InputError
from gotd_assets.model_location import find_model, hub_options

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.settings import EncoderSettings


class TransformerEncoder:
    """Any encoder that transformers' AutoModel loads.

    Vectors are the mean of the last hidden states under the attention mask, or the first token's ('cls').
    """

    def __init__(self, settings: EncoderSettings, root: Path) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        path = find_model(settings.model, root, SETTING)
        name = settings.model if path is None else str(path)
        self.settings = settings
        self.pooling = pooling_of(settings, path)
        self.device = torch.device(_device(settings.device))
        self.dtype = _dtype(settings.dtype, self.device)
        try:
            options: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
            if path is None:
                options |= hub_options(settings.model, settings.revision, SETTING)
            self.tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, **options)
            model = AutoModel.from_pretrained(
                name, dtype=self.dtype, use_safetensors=True, attn_implementation="sdpa", **options
            )
        except (OSError, ValueError) as error:
            raise InputError(
                f"encoder.model {settings.model!r} cannot be loaded: {error}. Name a local folder with config.json, "
                "tokenizer and *.safetensors, or make the hub reachable"
            ) from error
        self.model = model.to(self.device).eval()
        # RoBERTa-like models count more positions than tokens; their tokenizers know the tokens.
        positions = getattr(model.config, "max_position_embeddings", settings.max_tokens)
        self.max_tokens = min(settings.max_tokens, positions, self.tokenizer.model_max_length)
        self.dimension = int(model.config.hidden_size)

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> npt.NDArray[np.float32]:
        """Vectors (n, D) float32 of `texts`; `tick(documents, tokens)` is called after every batch."""
        encoded = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_tokens,
            add_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        lengths = np.fromiter((len(ids) for ids in encoded), dtype=np.int64, count=len(encoded))
        order = np.argsort(-lengths, kind="stable")
        result = np.empty((len(texts), self.dimension), dtype=np.float32)
        with torch.inference_mode():
            for batch in self._batches(order, lengths):
                result[batch] = self._forward([encoded[i] for i in batch], int(lengths[batch[0]])).numpy()
                tick(len(batch), int(lengths[batch].sum()))
        return result

    def _batches(self, order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        batches, start = [], 0
        while start < len(order):
            size = max(1, self.settings.batch_tokens // int(lengths[order[start]]))
            batches.append(order[start : start + size])
            start += size
        return batches

    def _forward(self, encoded: Sequence[Sequence[int]], width: int) -> Tensor:
        padding = self.tokenizer.pad_token_id or 0
        ids = torch.full((len(encoded), width), padding, dtype=torch.long)
        mask = torch.zeros((len(encoded), width), dtype=torch.long)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        padded = bool((mask == 0).any())
        hidden: Tensor = self.model(input_ids=ids, attention_mask=mask if padded else None).last_hidden_state
        hidden = hidden.float()
        if self.pooling == "cls":
            return hidden[:, 0].cpu()
        weights = mask.unsqueeze(-1).float()
        return ((hidden * weights).sum(dim=1) / weights.sum(dim=1)).cpu()


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
