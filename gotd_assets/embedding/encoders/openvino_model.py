"""A transformers encoder run by OpenVINO, which fuses what PyTorch does operation by operation."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gotd_assets.embedding.encoders.pooling import token_weights
from gotd_assets.errors import InputError
from gotd_assets.models.encoder_folder import Pooling

if TYPE_CHECKING:
    import numpy.typing as npt

# The key of the model for any length.
_ANY = 0
_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
_EXAMPLES = ("one", "a text of more words, so that both lengths and padding are followed")
# Other numbers and lengths of texts than the examples: a size that became a constant would show.
_PROBES = ("two", "three words here", "a text that is a good deal longer than any of the examples were, and then some")
_LEAST_COSINE = 0.99
# Every compiled model has a copy of the weights of its own; once the copies have so many bytes, no more are made.
_MOST_COPIED = 1 << 30


class OpenVinoModel:
    """Token ids and mask (n, T) to vectors (n, D), in as many threads at once as `threads`.

    A model compiled for one shape is faster than one for any, and compiling takes as long as some batches: batches of a
    common length go through a model of their own, filled up to `tokens`.

    Args:
        model: a transformers encoder in float32, on the processor.
        tokenizer: its tokenizer.
        pooling: from tokens to a text.
        dtype: arithmetic.
        prompt: what every text begins with.
        threads: callers at a time; each computes on one core.
        tokens: those of a full batch, padding included.

    Raises:
        InputError: openvino is not installed, cannot run the model, or gives other vectors than it.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        pooling: Pooling,
        dtype: torch.dtype,
        *,
        prompt: str,
        threads: int,
        tokens: int,
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            raise InputError(
                "encoder.backend 'openvino' needs the package openvino: pip install 'gotd-assets[openvino]', or set it "
                "to 'torch'"
            ) from error
        self._name = type(model).__name__
        whole = _Pooled(model, pooling).eval()
        try:
            with warnings.catch_warnings(), torch.inference_mode(), _unreported():
                warnings.simplefilter("ignore")
                self._converted = openvino.convert_model(whole, example_input=_inputs(tokenizer, prompt, _EXAMPLES))
            streams = {"NUM_STREAMS": str(threads), "INFERENCE_NUM_THREADS": str(threads)}
            options = {"INFERENCE_PRECISION_HINT": _PRECISIONS[dtype], **streams}
            self._compile = functools.partial(openvino.Core().compile_model, device_name="CPU", config=options)
            self._compiled = {_ANY: self._compile(self._converted)}
            self._tokens = tokens
            self._most_compiled = 1 + _MOST_COPIED // max(1, _copied(model) * dtype.itemsize)
            self._compiling = threading.Lock()
            self._requests = _Requests()
            probe = _inputs(tokenizer, prompt, _PROBES)
            ours = torch.from_numpy(self(probe["input_ids"].numpy(), probe["attention_mask"].numpy(), False))
        except Exception as error:
            raise self._failure(error) from error
        with torch.inference_mode():
            theirs = whole(**probe)
        cosine = float(torch.nn.functional.cosine_similarity(ours, theirs).min())
        if not cosine >= _LEAST_COSINE:
            raise InputError(
                f"encoder.backend: OpenVINO gives other vectors than {self._name} itself (cosine {cosine:.3f}): "
                "set it to 'torch'"
            )

    def __call__(
        self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], is_common: bool
    ) -> npt.NDArray[np.float32]:
        """Vectors (n, D) of the texts with token `ids` under `mask`, both (n, T), T being a common length or not."""
        length = self._compiled_for(ids.shape[1]) if is_common else _ANY
        requests = self._requests.of_length
        if length not in requests:
            requests[length] = self._compiled[length].create_infer_request()
        count = len(ids)
        if length != _ANY:
            # `resize` fills up with the same texts again, from the first on.
            ids, mask = (np.resize(given, self._shape(length)) for given in (ids, mask))
        found = requests[length].infer({"input_ids": ids, "attention_mask": mask})[0]
        return np.array(found[:count], dtype=np.float32)

    def _compiled_for(self, length: int) -> int:
        """The key of the model for texts of `length` tokens, compiled if it is not and its weights find room."""
        with self._compiling:
            if length not in self._compiled:
                if len(self._compiled) >= self._most_compiled:
                    return _ANY
                own = self._converted.clone()
                try:
                    own.reshape({given.get_any_name(): self._shape(length) for given in own.inputs})
                    self._compiled[length] = self._compile(own)
                except RuntimeError as error:
                    raise self._failure(error) from error
        return length

    def _failure(self, error: Exception) -> InputError:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return InputError(f"encoder.backend: OpenVINO cannot run {self._name} ({first}): set it to 'torch'")

    def _shape(self, length: int) -> list[int]:
        return [max(1, self._tokens // length), length]


class _Requests(threading.local):
    """The calling thread's own, by length."""

    def __init__(self) -> None:
        self.of_length: dict[int, Any] = {}


class _Pooled(torch.nn.Module):
    """The model and its pooling as a matrix product.

    OpenVINO computes in float32 whatever lies between the last product and the result, and that is every residual sum
    and normalisation of the model if pooling is no product. PyTorch pools by a sum, as products follow autocast, under
    which encoders are fine-tuned.
    """

    def __init__(self, model: Any, pooling: Pooling) -> None:
        super().__init__()
        self.model, self.pooling = model, pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask
        if self.pooling.skipped:
            mask = mask * (torch.arange(mask.shape[1]) >= self.pooling.skipped)
        return torch.cat([self._pooled(hidden, mask, mode) for mode in self.pooling.modes], dim=1)

    def _pooled(self, hidden: Tensor, mask: Tensor, mode: str) -> Tensor:
        if mode == "max":
            return hidden.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)
        return torch.matmul(token_weights(mask, mode, self.pooling.skipped).unsqueeze(1), hidden).squeeze(1)


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    """OpenVINO tells its makers of every conversion, over the network, unless it takes itself for part of a test."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def _copied(model: torch.nn.Module) -> int:
    """Parameters of which every compiled model has its own copy: all but the tables of embeddings."""
    tables: int = sum(part.weight.numel() for part in model.modules() if isinstance(part, torch.nn.Embedding))
    return sum(parameter.numel() for parameter in model.parameters()) - tables


def _inputs(tokenizer: Any, prompt: str, texts: tuple[str, ...]) -> dict[str, Tensor]:
    encoded = tokenizer(
        [prompt + text for text in texts], padding=True, return_tensors="pt", return_token_type_ids=False
    )
    return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
