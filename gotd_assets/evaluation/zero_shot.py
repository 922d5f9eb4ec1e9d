"""Classification without labels, by the likelihood of the words that say them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.corpus.labelled import LabelledTexts
from gotd_assets.errors import InputError
from gotd_assets.evaluation.scores import Scores
from gotd_assets.models.batches import MEASURING_BATCH_TOKENS, Batch, by_length, padded
from gotd_assets.models.device import choose_precision
from gotd_assets.models.long_texts import beginnings
from gotd_assets.models.objectives import TokenLoss
from gotd_assets.models.placement import autocast

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.models.prefix import FrozenPrefix
    from gotd_assets.settings.evaluation import ClassificationSettings
    from gotd_assets.settings.training import TrainingSettings


def zero_shot(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    test: LabelledTexts,
    task: ClassificationSettings,
    settings: TrainingSettings,
    *,
    prefix: FrozenPrefix | None = None,
) -> Scores:
    """Classify without training: the label whose words are the most likely continuation of the task's template.

    The likelihood is that of all tokens of the words (their sum in logarithms). Long texts are cut, never the template.

    Args:
        model: a causal language model, on its device.
        tokenizer: its tokenizer.
        test: texts to classify.
        task: template and words.
        settings: length and precision.
        prefix: stands in for the model's frozen first blocks.

    Raises:
        InputError: the template and the words leave no room for a text.
    """
    prompts = _Prompts(tokenizer, task, settings.max_tokens)
    rows = [
        (text, label, *prompts.tokens(test.texts[text], label))
        for text in range(len(test.texts))
        for label in range(len(task.labels))
    ]
    likelihood = np.zeros((len(test.texts), len(task.labels)))
    precision = choose_precision(settings.precision, model.device)
    with autocast(model.device, precision):
        loss = TokenLoss(model, prefix)
    training = model.training
    model.eval()
    try:
        for batch_of in by_length([len(ids) for _, _, ids, _ in rows], MEASURING_BATCH_TOKENS):
            part = [rows[index] for index in batch_of]
            batch = _continuations([(ids, continued) for _, _, ids, continued in part], model.device)
            likelihood_of = _no_gradient(loss, batch, precision)
            sums = np.bincount(batch.documents, weights=-likelihood_of, minlength=len(part))
            for (text, label, _, _), total in zip(part, sums, strict=True):
                likelihood[text, label] = total
    finally:
        model.train(training)
    return Scores.of(likelihood.argmax(axis=1), test.labels, len(task.labels))


class _Prompts:
    """The template in tokens: text and what follows it, then a label's words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: ClassificationSettings, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        before, after = task.template.removesuffix("{label}").split("{text}")
        # Most tokenizers join a space with the word behind it; it must stand on the side that is judged.
        bare = after.rstrip(" ")
        space = after[len(bare) :]
        self._before, self._after = self._ids(before, special=True), self._ids(bare)
        self._words = [self._ids(space + words) for words in task.labels.values()]
        fixed = len(self._before) + len(self._after) + max(len(words) for words in self._words)
        self._room = max_tokens - fixed
        if self._room < 1:
            raise InputError(
                f"evaluation.classification: template and words take {fixed} tokens of training.max_tokens {max_tokens}"
            )
        if not all(self._words):
            raise InputError("evaluation.classification: the tokenizer makes nothing of the words of a label")

    def tokens(self, text: str, label: int) -> tuple[list[int], int]:
        """Token ids of text and template with the words of `label`, and how many of them at the end are the words."""
        words = self._words[label]
        (start,) = beginnings([text], self._room, lambda some, most: len(self._ids(some)[:most]))
        return [*self._before, *self._ids(start)[: self._room], *self._after, *words], len(words)

    def _ids(self, text: str, *, special: bool = False) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=special)["input_ids"] if text or special else []
        return ids


def _continuations(documents: Sequence[tuple[list[int], int]], device: torch.device) -> Batch:
    """A batch that predicts the last tokens of each document, as many as it says."""
    import torch

    inputs, attention = padded([np.asarray(ids, dtype=np.int64) for ids, _ in documents], pad=0)
    length = inputs.shape[1]
    positions, labels, owners = [], [], []
    for row, (ids, continued) in enumerate(documents):
        # The first token of a document has none before it to be predicted from.
        first = max(1, len(ids) - continued)
        positions.append(row * length + np.arange(first - 1, len(ids) - 1))
        labels.append(np.asarray(ids[first:], dtype=np.int64))
        owners.append(np.full(len(ids) - first, row, dtype=np.int64))
    arrays = (inputs, attention, np.concatenate(positions), np.concatenate(labels))
    return Batch(np.concatenate(owners), *(torch.from_numpy(array).to(device) for array in arrays))


def _no_gradient(loss: TokenLoss, batch: Batch, precision: torch.dtype) -> npt.NDArray[Any]:
    import torch

    with torch.inference_mode(), autocast(batch.inputs.device, precision):
        losses: npt.NDArray[Any] = loss(batch).double().cpu().numpy()
    return losses
