"""Perplexity of language models on held-out text, with its uncertainty."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from gotd_assets.errors import TrainingError
from gotd_assets.fingerprint import document_id
from gotd_assets.models.batches import AnsweredIds, TokenIds, by_length, encode
from gotd_assets.models.objectives import Objective
from gotd_assets.models.statistics import two_way_mean

if TYPE_CHECKING:
    import numpy.typing as npt
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.fingerprint import Json
    from gotd_assets.models.prefix import FrozenPrefix

_MASK_SEED = 20240507


@dataclasses.dataclass(frozen=True)
class PerplexityReport:
    """How well a model predicts some documents.

    Models on the same documents are compared by pairs: `document_nll` of both is in the same order.

    Attributes:
        perplexity: exp of the mean negative log-likelihood per predicted token, every token counting the same.
        low, high: its 95 % interval, over documents (`statistics.two_way_mean`); None for a single document.
        documents: number of documents measured.
        skipped: documents with no token to predict, left out.
        tokens: number of predicted tokens.
        objective: 'causal' (each token from those before it) or 'masked' (masked tokens from all others, masks drawn
            with a fixed seed per document and shown as the mask token; comparable among masked models of one
            tokenizer only).
        document_nll: float64 (documents,), sum of the negative log-likelihoods of a document, in nats.
        document_tokens: int64 (documents,), predicted tokens of a document.
    """

    perplexity: float
    low: float | None
    high: float | None
    documents: int
    skipped: int
    tokens: int
    objective: str
    document_nll: np.ndarray[tuple[int], np.dtype[np.float64]]
    document_tokens: np.ndarray[tuple[int], np.dtype[np.int64]]

    def as_summary(self) -> dict[str, Json]:
        """The figures, without the arrays."""
        return {
            "perplexity": self.perplexity,
            "perplexity_low": self.low,
            "perplexity_high": self.high,
            "documents": self.documents,
            "skipped_documents": self.skipped,
            "tokens": self.tokens,
            "objective": self.objective,
        }

    @classmethod
    def of(
        cls,
        document_nll: Sequence[float] | npt.NDArray[np.float64],
        document_tokens: Sequence[int] | npt.NDArray[np.int64],
        objective: str,
    ) -> PerplexityReport:
        """Report from sums per document; documents without tokens are left out, and at least one has some."""
        tokens = np.asarray(document_tokens, dtype=np.int64)
        measured = tokens > 0
        nll, tokens = np.asarray(document_nll, dtype=np.float64)[measured], tokens[measured]
        interval = two_way_mean((nll / tokens)[None], tokens) if len(nll) > 1 else None
        mean = float(nll.sum() / tokens.sum())
        return cls(
            perplexity=_exp(mean),
            low=None if interval is None else _exp(interval.low),
            high=None if interval is None else _exp(interval.high),
            documents=len(nll),
            skipped=int((~measured).sum()),
            tokens=int(tokens.sum()),
            objective=objective,
            document_nll=nll,
            document_tokens=tokens,
        )


@dataclasses.dataclass(frozen=True)
class Measuring:
    """How likelihoods are measured.

    Attributes:
        max_tokens: documents are cut to this many tokens.
        objective: 'causal' or 'masked', see `PerplexityReport.objective`.
        mask_probability: share of masked tokens of a document, at least one (objective 'masked').
        batch_tokens: tokens in one batch, padding included.
    """

    max_tokens: int
    objective: Literal["causal", "masked"] = "causal"
    mask_probability: float = 0.15
    batch_tokens: int = 1024


def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    how: Measuring,
    *,
    progress: Callable[[object], None] | None = None,
    prefix: FrozenPrefix | None = None,
) -> PerplexityReport:
    """Perplexity of `model` on `texts`; arguments and errors are those of `likelihoods`."""
    nll, tokens = likelihoods(model, tokenizer, texts, how, progress=progress, prefix=prefix)
    return PerplexityReport.of(nll, tokens, how.objective)


def likelihoods(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    how: Measuring,
    *,
    progress: Callable[[object], None] | None = None,
    prefix: FrozenPrefix | None = None,
    encoded: Sequence[TokenIds | AnsweredIds] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Negative log-likelihood (texts,) of each text in nats, and how many of its tokens (texts,) were predicted.

    Computed where the model is, in the model's own number format. A text's masks depend on the text alone. A text with no
    token to predict has zero of both.

    Args:
        model: a causal or masked language model; it is put in evaluation mode and back.
        tokenizer: its tokenizer.
        texts: documents.
        how: lengths, objective and batches.
        progress: is told, now and then, how far the work is.
        prefix: stands in for the model's frozen first blocks.
        encoded: token ids of each text, where they are not simply those of the text.

    Raises:
        TrainingError: no document has a token to predict, or the model's likelihoods are not finite.
    """
    import torch

    predictions = Objective(tokenizer, how.objective, how.mask_probability).behind(prefix)
    encoded = encode(tokenizer, texts, how.max_tokens) if encoded is None else encoded
    usable = [number for number, ids in enumerate(encoded) if predictions.predicted(ids) > 0]
    if not usable:
        raise TrainingError(f"perplexity cannot be measured: none of {len(texts)} documents has a token to predict")
    loss = predictions.loss(model)
    nll = np.zeros(len(texts))
    tokens = np.zeros(len(texts), dtype=np.int64)
    training = model.training
    model.eval()
    try:
        done = 0
        for some in by_length([len(encoded[number]) for number in usable], how.batch_tokens):
            numbers = [usable[index] for index in some]
            seeds = [(_MASK_SEED, int(document_id(texts[number])[:12], 16)) for number in numbers]
            batch = predictions.batch(
                [encoded[number] for number in numbers], seeds, corrupt=False, device=model.device
            )
            with torch.inference_mode():
                losses = loss(batch).double().cpu().numpy()
            owners = np.asarray(numbers)[batch.documents]
            nll += np.bincount(owners, weights=losses, minlength=len(texts))
            tokens += np.bincount(owners, minlength=len(texts))
            done += len(numbers)
            if progress is not None:
                progress(f"perplexity: {done} of {len(usable)} documents")
    finally:
        model.train(training)
    if not np.isfinite(nll).all():
        raise TrainingError("the model's likelihoods are not finite: its weights are broken, or training diverged")
    return nll, tokens


def _exp(value: float) -> float:
    """exp, with the largest finite number instead of an overflow, so that it can be written as JSON."""
    return math.exp(min(value, 700.0))
