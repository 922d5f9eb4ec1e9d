"""The frozen first blocks of a model, run once per document instead of once per update.

Where only the last blocks are trained, what comes out of the others depends on the document alone: not on the update, the
epoch, the seed, or the selection that the document is part of.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.models.batches import Batch, TokenIds, model_options
from gotd_assets.models.layers import blocks_of
from gotd_assets.models.placement import autocast

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# Bytes kept in a folder; the states of further documents are computed again each time.
_LIMIT = 8 * 2**30
_TENSOR = "states"


class FrozenPrefix:
    """Hidden states behind the frozen first blocks of a causal model, kept in a folder, a file per document.

    A document's states are computed alone and kept in the number format they have: they do not depend on padding, on
    what it is batched with, or on what was computed before. Files are named by a hash of the frozen weights, the
    configuration, the precision and the document's tokens, so that processes and models can share a folder.

    Use `of`, which knows where this is not possible.

    Args:
        model: its parameters to train are chosen, and it is on its device.
        frozen: blocks that are not trained; the first of the model.
        others: all other blocks.
        folder: made if missing.
        precision: number format of products.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        frozen: Sequence[torch.nn.Module],
        others: Sequence[torch.nn.Module],
        folder: Path,
        precision: torch.dtype,
    ) -> None:
        self._model, self._frozen, self._others = model, frozen, others
        self._folder, self._precision = folder, precision
        self._in_tuple = False
        self._identity = self._identified()
        folder.mkdir(parents=True, exist_ok=True)
        self._bytes = sum(file.stat().st_size for file in folder.iterdir())

    @classmethod
    def of(cls, model: PreTrainedModel, folder: Path, precision: torch.dtype, *, causal: bool) -> FrozenPrefix | None:
        """The prefix of `model`, whose parameters to train are chosen.

        None where the blocks' output is not a function of the document alone, or cannot be put in their place: nothing is
        frozen, tokens are masked anew in every update, there is dropout, or a probe does not come out the same.
        """
        blocks = list(blocks_of(model) or ())
        trained = [any(weight.requires_grad for weight in block.parameters()) for block in blocks]
        count = trained.index(True) if True in trained else len(trained)
        if not causal or count == 0:
            return None
        prefix = cls(model, frozen=blocks[:count], others=blocks[count:], folder=folder, precision=precision)
        return prefix if prefix._is_true() else None

    def prepare(self, documents: Sequence[TokenIds]) -> None:
        """Compute the states of `documents` that are not kept yet."""
        import torch

        for ids in documents:
            self._known(torch.from_numpy(ids).to(self._model.device))

    def processor_seconds(self, documents: Sequence[TokenIds]) -> float:
        """What the frozen blocks cost for `documents`, over all threads; nothing is looked up or kept."""
        import torch

        worked = time.process_time()
        with autocast(self._model.device, self._precision):
            for ids in documents:
                self._behind(torch.from_numpy(ids).to(self._model.device)[None])
        return time.process_time() - worked

    @contextlib.contextmanager
    def standing_in(self, batch: Batch) -> Iterator[None]:
        """Within it, the frozen blocks do nothing but hand on the states of `batch`."""
        import torch

        lengths = batch.attention.sum(dim=1).tolist()
        known = [self._known(ids[: max(1, length)]) for ids, length in zip(batch.inputs, lengths, strict=True)]
        states = torch.nn.utils.rnn.pad_sequence(known, batch_first=True).to(batch.inputs.device)
        with _answered(self._frozen, lambda: self._as_output(states)):
            yield

    def _known(self, ids: torch.Tensor) -> torch.Tensor:
        """States (tokens, D) of one document on the CPU, from the folder if they are there."""
        from safetensors.torch import load_file, save_file

        tokens: TokenIds = ids.cpu().numpy()
        name = hashlib.blake2b(tokens.tobytes(), digest_size=16, key=self._identity).hexdigest()
        file = self._folder / f"{name}.safetensors"
        if file.is_file():
            return load_file(file)[_TENSOR]
        with autocast(self._model.device, self._precision):
            states = self._behind(ids[None])[0].cpu()
        if self._bytes + states.nbytes <= _LIMIT:
            with replaced(file) as partial:
                save_file({_TENSOR: states.contiguous()}, partial)
            self._bytes += states.nbytes
        return states

    def _behind(self, ids: torch.Tensor) -> torch.Tensor:
        """States (documents, tokens, D) behind the frozen blocks; the other blocks are not run."""
        import torch

        found: list[Any] = []
        hook = self._frozen[-1].register_forward_hook(lambda _, __, output: found.append(output))
        try:
            with torch.no_grad(), _answered(self._others, lambda: found[0]):
                self._model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), **model_options(self._model))
        finally:
            hook.remove()
        self._in_tuple = isinstance(found[0], tuple)
        states: torch.Tensor = found[0][0] if self._in_tuple else found[0]
        return states

    def _as_output(self, states: torch.Tensor) -> object:
        return (states,) if self._in_tuple else states

    def _is_true(self) -> bool:
        """Whether, as it is trained, the model gives a probe the same states twice, and the same output from them."""
        import torch

        model = self._model
        ids = torch.arange(8, device=model.device)[None] % model.get_input_embeddings().weight.shape[0]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **model_options(model)}
        training = model.training
        model.train()
        cuda = [model.device] if model.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=cuda), autocast(model.device, self._precision):
                states = []
                for seed in (1, 2):
                    torch.manual_seed(seed)
                    states.append(self._behind(ids))
                outputs = []
                for replaced in ((), self._frozen):
                    torch.manual_seed(3)
                    with _answered(replaced, lambda: self._as_output(states[0])):
                        outputs.append(model.base_model(**inputs)[0])
        finally:
            model.train(training)
        return torch.equal(*states) and torch.equal(*outputs)

    def _identified(self) -> bytes:
        import torch

        digest = hashlib.blake2b(digest_size=32)
        digest.update(f"{type(self._model)} {self._model.config.to_json_string()} {self._precision}".encode())
        digest.update(f"{len(self._frozen)} {self._model.device.type}".encode())
        for name, weight in self._model.named_parameters():
            if not weight.requires_grad:
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(weight.detach().cpu().view(torch.uint8).numpy()).data)
        return digest.digest()


@contextlib.contextmanager
def _answered(blocks: Sequence[torch.nn.Module], answer: Callable[[], object]) -> Iterator[None]:
    """Within it, each of `blocks` gives `answer()` whatever it is asked."""
    for block in blocks:
        block.forward = lambda *_, **__: answer()
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
