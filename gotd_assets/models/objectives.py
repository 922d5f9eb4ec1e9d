"""Language modelling losses: which tokens are predicted from what, and their negative log-likelihoods.

Logits are computed only for tokens that are predicted, never for padding: on a small model with a large vocabulary the
output layer is most of the work.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from gotd_assets.errors import InputError
from gotd_assets.models.batches import AnsweredIds, Batch, Seed, TokenIds, model_options, padded

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.models.prefix import FrozenPrefix


# Rows of logits computed at once when no gradient is kept: bounds memory to rows x vocabulary.
_LOGIT_ROWS = 256


class Objective:
    """What is predicted: every next token (causal), or masked tokens from both sides (masked).

    Args:
        tokenizer: gives the padding and mask tokens.
        kind: 'causal' or 'masked'.
        mask_probability: share of the tokens that are masked; at least one of a document is.

    Raises:
        InputError: the objective is masked and the tokenizer has no mask token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, kind: Literal["causal", "masked"], mask_probability: float = 0.15
    ) -> None:
        self.causal = kind == "causal"
        self._mask_probability = mask_probability
        self._vocabulary = len(tokenizer)
        self._special = np.asarray(sorted(set(tokenizer.all_special_ids)), dtype=np.int64)
        pad = tokenizer.pad_token_id
        # Padding is never attended to and never predicted, so any token will do where a tokenizer has none.
        self._pad = 0 if pad is None else int(pad)
        mask = tokenizer.mask_token_id
        if not self.causal and mask is None:
            raise InputError("training.objective is 'masked', but the model's tokenizer has no mask token")
        self._mask = 0 if mask is None else int(mask)
        self._prefix: FrozenPrefix | None = None

    def behind(self, prefix: FrozenPrefix | None) -> Objective:
        """The same objective for a model whose frozen first blocks `prefix` stands in for."""
        changed = copy.copy(self)
        changed._prefix = prefix
        return changed

    def loss(self, model: PreTrainedModel) -> TokenLoss:
        """What is minimised."""
        return TokenLoss(model, self._prefix)

    def predicted(self, document: TokenIds | AnsweredIds) -> int:
        """How many tokens of a document can be predicted; documents with none are of no use."""
        ids, answered = _parts(document)
        if not self.causal:
            return int((~np.isin(ids, self._special)).sum())
        return len(ids) - 1 if answered is None else int(answered[1:].sum())

    def batch(
        self,
        documents: Sequence[TokenIds | AnsweredIds],
        seeds: Sequence[Seed],
        *,
        corrupt: bool,
        device: torch.device,
    ) -> Batch:
        """Documents as one batch.

        Args:
            documents: token ids, each with at least one token that can be predicted; of conversations with their answers
                (causal) only these are.
            seeds: seed of the masks of each document, so that they do not depend on how documents are batched.
            corrupt: of the masked tokens, replace 80 % by the mask token and 10 % by a random one and keep 10 %, as
                BERT is trained (Devlin et al., 2019, section 3.1); otherwise replace all, for evaluation.
            device: where the tensors go.
        """
        import torch

        parts = [_parts(document) for document in documents]
        inputs, attention = padded([ids for ids, _ in parts], self._pad)
        length = inputs.shape[1]
        positions, labels, owners = [], [], []
        for row, ((ids, answered), seed) in enumerate(zip(parts, seeds, strict=True)):
            if self.causal:
                chosen = np.arange(len(ids) - 1) if answered is None else np.flatnonzero(answered[1:])
                labels.append(ids[1:][chosen])
            else:
                chosen, replaced = self._masked(ids, seed, corrupt=corrupt)
                labels.append(ids[chosen])
                inputs[row, chosen] = replaced
            positions.append(row * length + chosen)
            owners.append(np.full(len(chosen), row, dtype=np.int64))
        tensors = (inputs, attention, np.concatenate(positions), np.concatenate(labels))
        moved = (torch.from_numpy(tensor).to(device) for tensor in tensors)
        return Batch(np.concatenate(owners), *moved)

    def _masked(self, ids: TokenIds, seed: Seed, *, corrupt: bool) -> tuple[TokenIds, TokenIds]:
        random = np.random.default_rng(seed)
        candidates = np.flatnonzero(~np.isin(ids, self._special))
        drawn = random.random(len(candidates))
        chosen = candidates[drawn < self._mask_probability]
        if len(chosen) == 0:
            chosen = candidates[[int(drawn.argmin())]]
        replaced = np.full(len(chosen), self._mask, dtype=np.int64)
        if corrupt:
            fate = random.random(len(chosen))
            replaced = np.where(fate < 0.9, replaced, random.integers(0, self._vocabulary, len(chosen)))
            replaced = np.where(fate < 0.8, self._mask, np.where(fate < 0.9, replaced, ids[chosen]))
        return chosen, replaced


def _parts(document: TokenIds | AnsweredIds) -> tuple[TokenIds, npt.NDArray[np.bool_] | None]:
    """Token ids, and which of them are answers if only these are predicted."""
    return (document.ids, document.answered) if isinstance(document, AnsweredIds) else (document, None)


class TokenLoss:
    """Negative log-likelihood, in nats, of each predicted token of a batch.

    The output layer is applied to predicted positions only, if on a probe of a few tokens that gives the logits of the
    model's own forward pass (heads that scale or cap their logits do not); else the model computes all logits itself.

    Args:
        model: a causal or masked language model of transformers.
        prefix: stands in for the model's frozen first blocks.
    """

    def __init__(self, model: PreTrainedModel, prefix: FrozenPrefix | None = None) -> None:
        self._model = model
        self._prefix = prefix
        self._head = self._probe()

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Float32 (predictions,), differentiable unless gradients are off."""
        import torch
        from torch.nn.functional import cross_entropy

        inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention, **model_options(self._model)}
        with contextlib.nullcontext() if self._prefix is None else self._prefix.standing_in(batch):
            if self._head is None:
                logits = self._model(**inputs).logits.flatten(0, 1).index_select(0, batch.positions)
                return cross_entropy(logits.float(), batch.labels, reduction="none")
            states = self._model.base_model(**inputs).last_hidden_state
        hidden = states.flatten(0, 1).index_select(0, batch.positions)
        if torch.is_grad_enabled():
            return cross_entropy(self._head(hidden).float(), batch.labels, reduction="none")
        parts = zip(torch.split(hidden, _LOGIT_ROWS), torch.split(batch.labels, _LOGIT_ROWS), strict=True)
        return torch.cat([cross_entropy(self._head(h).float(), label, reduction="none") for h, label in parts])

    def _probe(self) -> torch.nn.Module | None:
        import torch

        model = self._model
        body = model.base_model
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                ids = torch.arange(4, device=model.device)[None] % model.get_input_embeddings().weight.shape[0]
                expected = model(input_ids=ids, **model_options(model)).logits
                hidden = getattr(body(input_ids=ids, **model_options(model)), "last_hidden_state", None)
                if body is model or hidden is None:
                    return None
                # BERT keeps a whole block under `cls`, RoBERTa under `lm_head`; others have the output layer alone.
                for head in (getattr(model, "lm_head", None), getattr(model, "cls", None)):
                    if isinstance(head, torch.nn.Module):
                        logits = head(hidden)
                        if logits.shape == expected.shape and torch.equal(logits, expected):
                            return head
                return None
        finally:
            model.train(training)
