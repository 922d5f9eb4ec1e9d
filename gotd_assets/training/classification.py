"""Targeted fine-tuning (stage II of the paper) on a few labels, and classification without any."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.corpus import scan_documents
from gotd_assets.errors import InputError, TrainingError
from gotd_assets.storage import write_atomically
from gotd_assets.training.layers import choose_trainable
from gotd_assets.training.objectives import Batch, TokenLoss, encode
from gotd_assets.training.precision import autocast, choose_device, choose_precision, place

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.settings import ClassificationSettings, TrainingSettings

_BATCH_TOKENS = 4096
_HEAD_SCALE = 0.02


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Texts and, as numbers in the order of the task's labels, what they are: `texts` (n,), `labels` (n,) int64."""

    texts: Sequence[str]
    labels: npt.NDArray[np.int64]

    @classmethod
    def of(cls, folder: Path, task: ClassificationSettings) -> LabelledTexts:
        """One side of what `read_labelled` wrote."""
        frame = scan_documents(folder).select("text", label=pl.col(task.label)).collect()
        numbers = {label: number for number, label in enumerate(task.labels)}
        labels = np.array([numbers[label] for label in frame.get_column("label")], dtype=np.int64)
        return cls(frame.get_column("text").to_list(), labels)


@dataclasses.dataclass(frozen=True)
class Scores:
    """How well predictions agree with labels.

    Attributes:
        accuracy: share of texts that are right; the micro F1 of a task with one label per text is the same number.
        macro_f1: mean over labels of the harmonic mean of precision and recall; a label neither predicted nor present
            counts 0.
    """

    accuracy: float
    macro_f1: float

    @classmethod
    def of(cls, predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], n_labels: int) -> Scores:
        """Scores of `predicted` (n,) against `labels` (n,)."""
        confusion = np.zeros((n_labels, n_labels))
        np.add.at(confusion, (labels, predicted), 1)
        right = confusion.diagonal()
        marked = confusion.sum(axis=0) + confusion.sum(axis=1)
        f1 = np.divide(2 * right, marked, out=np.zeros(n_labels), where=marked > 0)
        return cls(float(right.sum() / len(labels)), float(f1.mean()))


def learning_curve(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: LabelledTexts,
    test: LabelledTexts,
    *,
    task: ClassificationSettings,
    settings: TrainingSettings,
    scratch: Path,
    progress: Callable[[object], None] | None = None,
) -> dict[tuple[int, int], Scores]:
    """Fine-tune `model` with a fresh linear head on so many labels, measure it, and begin again, for sizes and seeds.

    The head reads the last token's state (causal) or the first's (masked). Of one seed, a larger number of labels
    contains the smaller. As many layers are trained as in pre-fine-tuning. A finished point is kept in `scratch`, so
    that an interruption loses one. The model's weights are those before the last fine-tuning when it returns.

    Args:
        model: where it stands after pre-fine-tuning, or the base model.
        tokenizer: its tokenizer.
        train: labelled texts to draw from.
        test: labelled texts to measure on.
        task: sizes, seeds and optimisation.
        settings: objective, length, trainable layers, precision and device.
        scratch: folder that belongs to this model and task.
        progress: is told of every point.

    Returns:
        Scores by (number of labels, seed).

    Raises:
        TrainingError: the loss is not finite.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tuner: _Classifier | None = None
    found = {}
    for seed in range(task.seeds):
        for size in task.sizes:
            file = scratch / f"labels-{size}-{seed}.json"
            if not file.is_file():
                tuner = tuner or _Classifier(model, tokenizer, task, settings)
                order = np.random.default_rng((seed, 7)).permutation(len(train.labels))[:size]
                chosen = LabelledTexts([train.texts[row] for row in order], train.labels[order])
                predicted = tuner.tune_and_predict(chosen, test.texts, seed)
                scores = Scores.of(predicted, test.labels, len(task.labels))
                write_atomically(file, json.dumps(dataclasses.asdict(scores)))
            found[size, seed] = Scores(**json.loads(file.read_text(encoding="utf-8")))
            if progress is not None:
                progress(f"{size} labels, seed {seed}: accuracy {found[size, seed].accuracy:.3f}")
    return found


def zero_shot(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    test: LabelledTexts,
    task: ClassificationSettings,
    settings: TrainingSettings,
) -> Scores:
    """Classify without training: the label whose words are the most likely continuation of the task's template.

    The likelihood is that of all tokens of the words (their sum in logarithms). Long texts are cut, never the template.

    Args:
        model: a causal language model, on its device.
        tokenizer: its tokenizer.
        test: texts to classify.
        task: template and words.
        settings: length and precision.

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
    loss = TokenLoss(model)
    training = model.training
    model.eval()
    precision = choose_precision(settings.precision, model.device)
    try:
        for batch_of in _batches([len(ids) for _, _, ids, _ in rows]):
            part = [rows[index] for index in batch_of]
            batch = _continuations([(ids, continued) for _, _, ids, continued in part], model.device)
            likelihood_of = _no_gradient(loss, batch, precision)
            sums = np.bincount(batch.documents, weights=-likelihood_of, minlength=len(part))
            for (text, label, _, _), total in zip(part, sums, strict=True):
                likelihood[text, label] = total
    finally:
        model.train(training)
    return Scores.of(likelihood.argmax(axis=1), test.labels, len(task.labels))


def labels_saved(base: Mapping[int, float], ours: Mapping[int, float]) -> dict[int, float | None]:
    """How many labels fewer the pre-fine-tuned model needs for the score that the base model has with n (Figure 1).

    Between measured sizes scores are taken as linear in the logarithm of n. A negative number says that it needs more;
    None that it does not reach the score at any size, and the whole n is saved where its first point is there already.

    Args:
        base: mean score of the base model by number of labels.
        ours: of the pre-fine-tuned model.
    """
    sizes = sorted(ours)
    saved: dict[int, float | None] = {}
    for size, score in sorted(base.items()):
        reached = next((position for position, n in enumerate(sizes) if ours[n] >= score), None)
        if reached is None:
            saved[size] = None
        elif reached == 0:
            saved[size] = float(size - sizes[0])
        else:
            low, high = sizes[reached - 1], sizes[reached]
            part = (score - ours[low]) / (ours[high] - ours[low])
            saved[size] = float(size - math.exp(math.log(low) + part * (math.log(high) - math.log(low))))
    return saved


class _Classifier:
    """A model with a linear head that can be put back to where it began."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: ClassificationSettings,
        settings: TrainingSettings,
    ) -> None:
        self._model, self._tokenizer, self._task, self._settings = model, tokenizer, task, settings
        self._device = choose_device(settings.device)
        self._precision = choose_precision(settings.precision, self._device)
        self._trained = choose_trainable(model, settings)
        place(model, self._device, self._precision, exact=self._trained)
        self._before = {name: weight.detach().clone() for name, weight in self._trained.items()}

    def tune_and_predict(self, train: LabelledTexts, texts: Sequence[str], seed: int) -> npt.NDArray[np.int64]:
        """Labels of `texts` after fine-tuning on `train` from the beginning."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        size = self._model.get_input_embeddings().weight.shape[1]
        head = torch.nn.Linear(size, len(self._task.labels))
        torch.nn.init.normal_(head.weight, std=_HEAD_SCALE, generator=generator)
        torch.nn.init.zeros_(head.bias)
        head.to(self._device)
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(self._before[name])
        try:
            self._tune(head, train, seed)
            return self._predict(head, texts)
        finally:
            with torch.no_grad():
                for name, weight in self._trained.items():
                    weight.copy_(self._before[name])

    def _tune(self, head: torch.nn.Linear, train: LabelledTexts, seed: int) -> None:
        import torch

        weights = [*self._trained.values(), *head.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=self._task.learning_rate, weight_decay=self._settings.weight_decay)
        encoded = encode(self._tokenizer, train.texts, self._settings.max_tokens)
        updates = list(self._updates(len(encoded), seed))
        self._model.train()
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            for step, rows in enumerate(updates):
                for group in optimizer.param_groups:
                    group["lr"] = self._task.learning_rate * (1 - step / len(updates))
                labels = torch.from_numpy(train.labels[rows]).to(self._device)
                logits = self._logits(head, [encoded[row] for row in rows])
                loss = torch.nn.functional.cross_entropy(logits, labels)
                if not math.isfinite(loss.item()):
                    raise TrainingError(
                        f"fine-tuning on {len(encoded)} labels diverged at step {step + 1} of {len(updates)}; lower "
                        "learning_rate in evaluation.classification"
                    )
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

    def _updates(self, count: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
        total = max(1, round(self._task.epochs * count))
        epochs = math.ceil(total / count)
        draws = [np.random.default_rng((seed, epoch)).permutation(count) for epoch in range(epochs)]
        order = np.concatenate(draws)[:total]
        for begin in range(0, total, self._task.batch_size):
            yield order[begin : begin + self._task.batch_size]

    def _predict(self, head: torch.nn.Linear, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        import torch

        encoded = encode(self._tokenizer, texts, self._settings.max_tokens)
        predicted = np.zeros(len(encoded), dtype=np.int64)
        self._model.eval()
        with torch.inference_mode():
            for rows in _batches([len(ids) for ids in encoded]):
                predicted[rows] = self._logits(head, [encoded[row] for row in rows]).argmax(dim=1).cpu().numpy()
        return predicted

    def _logits(self, head: torch.nn.Linear, documents: Sequence[npt.NDArray[np.int64]]) -> torch.Tensor:
        import torch

        # A text may be empty of tokens for tokenizers that add none.
        lengths = np.array([max(1, len(ids)) for ids in documents])
        inputs = np.zeros((len(documents), int(lengths.max())), dtype=np.int64)
        for row, ids in enumerate(documents):
            inputs[row, : len(ids)] = ids
        attention = (np.arange(inputs.shape[1]) < lengths[:, None]).astype(np.int64)
        at = lengths - 1 if self._settings.objective == "causal" else np.zeros_like(lengths)
        with autocast(self._device, self._precision):
            states = self._model.base_model(
                input_ids=torch.from_numpy(inputs).to(self._device),
                attention_mask=torch.from_numpy(attention).to(self._device),
            ).last_hidden_state
        pooled = states[torch.arange(len(documents)), torch.from_numpy(at).to(self._device)]
        logits: torch.Tensor = head(pooled.float())
        return logits


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
        return [*self._before, *self._ids(text)[: self._room], *self._after, *words], len(words)

    def _ids(self, text: str, *, special: bool = False) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=special)["input_ids"] if text or special else []
        return ids


def _continuations(documents: Sequence[tuple[list[int], int]], device: torch.device) -> Batch:
    """A batch that predicts the last tokens of each document, as many as it says."""
    import torch

    length = max(len(ids) for ids, _ in documents)
    inputs = np.zeros((len(documents), length), dtype=np.int64)
    attention = np.zeros_like(inputs)
    positions, labels, owners = [], [], []
    for row, (ids, continued) in enumerate(documents):
        inputs[row, : len(ids)] = ids
        attention[row, : len(ids)] = 1
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


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of documents of like length, at most 4,096 tokens with padding."""
    batch: list[int] = []
    for index in np.argsort(lengths, kind="stable").tolist():
        if batch and lengths[index] * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
