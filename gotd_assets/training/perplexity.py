"""Perplexity of language models on held-out text, with its uncertainty."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from gotd_assets.errors import TrainingError
from gotd_assets.training.objectives import Objective, encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.fingerprint import Json
    from gotd_assets.training.prefix import FrozenPrefix

_RESAMPLES = 2000
_MASK_SEED = 20240507


@dataclasses.dataclass(frozen=True)
class PerplexityReport:
    """How well a model predicts some documents.

    Models on the same documents are compared by pairs: `document_nll` of both is in the same order.

    Attributes:
        perplexity: exp of the mean negative log-likelihood per predicted token, every token counting the same.
        low, high: its 95 % interval, by bootstrap over documents; None for a single document.
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
        document_nll: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]],
        document_tokens: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]],
        *,
        skipped: int,
        objective: str,
    ) -> PerplexityReport:
        """Report from sums per document (at least one document)."""
        nll = np.asarray(document_nll, dtype=np.float64)
        tokens = np.asarray(document_tokens, dtype=np.int64)
        low, high = np.quantile(_resampled(nll, tokens), (0.025, 0.975)) if len(nll) > 1 else (None, None)
        mean = float(nll.sum() / tokens.sum())
        return cls(
            perplexity=_exp(mean),
            low=None if low is None else _exp(float(low)),
            high=None if high is None else _exp(float(high)),
            documents=len(nll),
            skipped=skipped,
            tokens=int(tokens.sum()),
            objective=objective,
            document_nll=nll,
            document_tokens=tokens,
        )


def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_tokens: int,
    objective: Literal["causal", "masked"] = "causal",
    mask_probability: float = 0.15,
    batch_tokens: int = 1024,
    progress: Callable[[object], None] | None = None,
    prefix: FrozenPrefix | None = None,
) -> PerplexityReport:
    """Perplexity of `model` on `texts`, computed where the model is, in the model's own number format.

    Args:
        model: a causal or masked language model; it is put in evaluation mode and back.
        tokenizer: its tokenizer.
        texts: documents.
        max_tokens: documents are cut to this many tokens.
        objective: 'causal' or 'masked', see `PerplexityReport.objective`.
        mask_probability: share of masked tokens of a document, at least one (objective 'masked').
        batch_tokens: tokens in one batch, padding included.
        progress: is told, now and then, how far the work is.
        prefix: stands in for the model's frozen first blocks.

    Raises:
        TrainingError: no document has a token to predict, or the model's likelihoods are not finite.
    """
    import torch

    predictions = Objective(tokenizer, objective, mask_probability).behind(prefix)
    encoded = encode(tokenizer, texts, max_tokens)
    usable = [ids for ids in encoded if predictions.predicted(ids) > 0]
    if not usable:
        raise TrainingError(f"perplexity cannot be measured: none of {len(texts)} documents has a token to predict")
    loss = predictions.loss(model)
    nll = np.zeros(len(usable))
    tokens = np.zeros(len(usable), dtype=np.int64)
    training = model.training
    model.eval()
    try:
        done = 0
        for batch_of in _by_length([len(ids) for ids in usable], batch_tokens):
            documents = [usable[index] for index in batch_of]
            seeds = [(_MASK_SEED, index) for index in batch_of]
            batch = predictions.batch(documents, seeds, corrupt=False, device=model.device)
            with torch.inference_mode():
                losses = loss(batch).double().cpu().numpy()
            owners = np.asarray(batch_of)[batch.documents]
            nll += np.bincount(owners, weights=losses, minlength=len(usable))
            tokens += np.bincount(owners, minlength=len(usable))
            done += len(batch_of)
            if progress is not None:
                progress(f"perplexity: {done} of {len(usable)} documents")
    finally:
        model.train(training)
    if not np.isfinite(nll).all():
        raise TrainingError("the model's likelihoods are not finite: its weights are broken, or training diverged")
    return PerplexityReport.of(nll, tokens, skipped=len(texts) - len(usable), objective=objective)


def _by_length(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Document numbers in batches of like length, longest first, each at most `batch_tokens` with its padding."""
    batches: list[list[int]] = []
    for index in np.argsort(lengths, kind="stable")[::-1].tolist():
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and longest * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _resampled(
    nll: np.ndarray[tuple[int], np.dtype[np.float64]], tokens: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mean NLL per token of samples of as many documents, drawn with replacement."""
    random = np.random.default_rng(0)
    counts = random.multinomial(len(nll), np.full(len(nll), 1 / len(nll)), size=_RESAMPLES)
    means: np.ndarray[tuple[int], np.dtype[np.float64]] = (counts @ nll) / (counts @ tokens)
    return means


def _exp(value: float) -> float:
    """exp, with the largest finite number instead of an overflow, so that it can be written as JSON."""
    return math.exp(min(value, 700.0))
