"""Targeted fine-tuning (stage II of the paper) on a few labels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.corpus.labelled import LabelledTexts
from gotd_assets.evaluation.scores import Scores
from gotd_assets.models.batches import MEASURING_BATCH_TOKENS, Batch, LabelledIds, Seed, by_length, encode, padded
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.placement import autocast, place
from gotd_assets.training.loop import train as fine_tune

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.settings.evaluation import ClassificationSettings
    from gotd_assets.settings.training import TrainingSettings


_HEAD_SCALE = 0.02


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


class _Classifier:
    """A model with a linear head that can be put back to where it began."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: ClassificationSettings,
        settings: TrainingSettings,
    ) -> None:
        self._model, self._tokenizer, self._labels, self._max_tokens = (
            model,
            tokenizer,
            len(task.labels),
            settings.max_tokens,
        )
        self._settings = settings.model_copy(
            update={
                "learning_rate": task.learning_rate,
                "schedule": "linear",
                "epochs": task.epochs,
                "batch_size": task.batch_size,
                "gradient_accumulation": 1,
            }
        )
        self._device = choose_device(settings.device)
        self._precision = choose_precision(settings.precision, self._device)
        self._trained = choose_trainable(model, settings)
        place(model, self._device, self._precision, exact=self._trained)
        self._before = {name: weight.detach().clone() for name, weight in self._trained.items()}
        self._reading = _LabelOfText(tokenizer.pad_token_id or 0, is_causal=settings.objective == "causal")

    def tune_and_predict(self, train: LabelledTexts, texts: Sequence[str], seed: int) -> npt.NDArray[np.int64]:
        """Labels of `texts` after fine-tuning on `train` from the beginning."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        head = torch.nn.Linear(self._model.get_input_embeddings().weight.shape[1], self._labels)
        torch.nn.init.normal_(head.weight, std=_HEAD_SCALE, generator=generator)
        torch.nn.init.zeros_(head.bias)
        both = torch.nn.ModuleDict({"model": self._model, "head": head.to(self._device)})
        encoded = encode(self._tokenizer, train.texts, self._max_tokens)
        labelled = [LabelledIds(ids, int(label)) for ids, label in zip(encoded, train.labels, strict=True)]
        try:
            fine_tune(
                both,
                self._reading,
                labelled,
                self._settings.model_copy(update={"seed": seed}),
                precision=self._precision,
                checkpoint=None,
                identity="",
                on_step=lambda _: None,
                section="evaluation.classification",
            )
            return self._predict(both, texts)
        finally:
            with torch.no_grad():
                for name, weight in self._trained.items():
                    weight.copy_(self._before[name])

    def _predict(self, both: torch.nn.ModuleDict, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        import torch

        encoded = encode(self._tokenizer, texts, self._max_tokens)
        predicted = np.zeros(len(encoded), dtype=np.int64)
        self._model.eval()
        with torch.inference_mode(), autocast(self._device, self._precision):
            for rows in by_length([max(1, len(ids)) for ids in encoded], MEASURING_BATCH_TOKENS):
                some = [LabelledIds(encoded[row], 0) for row in rows]
                batch = self._reading.batch(some, (), corrupt=False, device=self._device)
                predicted[rows] = self._reading.logits(both, batch).argmax(dim=1).cpu().numpy()
        return predicted


class _LabelOfText:
    """Which label a text has, by a linear head on the state of one token; the model holds both."""

    def __init__(self, pad: int, *, is_causal: bool) -> None:
        self._pad, self._is_causal = pad, is_causal

    def batch(
        self, documents: Sequence[LabelledIds], seeds: Sequence[Seed], *, corrupt: bool, device: torch.device
    ) -> Batch:
        """Documents as one batch, which predicts from the last token of each (causal) or from the first (masked)."""
        import torch

        del seeds, corrupt
        inputs, attention = padded([one.ids for one in documents], self._pad)
        rows = np.arange(len(documents))
        at = attention.sum(axis=1) - 1 if self._is_causal else np.zeros_like(rows)
        labels = np.array([one.label for one in documents], dtype=np.int64)
        tensors = (inputs, attention, rows * inputs.shape[1] + at, labels)
        return Batch(rows, *(torch.from_numpy(tensor).to(device) for tensor in tensors))

    def loss(self, model: torch.nn.ModuleDict) -> Callable[[Batch], torch.Tensor]:
        """A loss per text."""
        from torch.nn.functional import cross_entropy

        return lambda batch: cross_entropy(self.logits(model, batch), batch.labels, reduction="none")

    def logits(self, model: torch.nn.ModuleDict, batch: Batch) -> torch.Tensor:
        """(texts, labels) float32."""
        import torch

        body = cast("PreTrainedModel", model["model"]).base_model
        states = body(input_ids=batch.inputs, attention_mask=batch.attention).last_hidden_state
        head = model["head"]
        with torch.autocast(states.device.type, enabled=False):
            logits: torch.Tensor = head(states.flatten(0, 1).index_select(0, batch.positions).float())
        return logits
