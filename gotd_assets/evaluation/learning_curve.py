"""Targeted fine-tuning (stage II of the paper) on a few labels, and a linear probe on the same."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.corpus.labelled import LabelledTexts
from gotd_assets.evaluation.probe import Probe
from gotd_assets.evaluation.scores import Scores
from gotd_assets.models.batches import (
    MEASURING_BATCH_TOKENS,
    Batch,
    LabelledIds,
    Seed,
    by_length,
    encode,
    model_options,
    padded,
)
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.placement import autocast, place
from gotd_assets.training.loop import train as fine_tune

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from gotd_assets.fingerprint import Json
    from gotd_assets.models.prefix import FrozenPrefix
    from gotd_assets.settings.evaluation import ClassificationSettings
    from gotd_assets.settings.training import TrainingSettings

Way: TypeAlias = Literal["probe", "fine-tuned"]


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """What came out of one number of labels and one seed: `scores`, and the `predicted` label of every test text."""

    scores: Scores
    predicted: npt.NDArray[np.int64]

    @classmethod
    def of(cls, predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], n_labels: int) -> Point:
        """From predictions for texts of which the labels are known."""
        return cls(Scores.of(predicted, labels, n_labels), predicted)

    def as_json(self) -> dict[str, Json]:
        """As files keep it."""
        return {**dataclasses.asdict(self.scores), "predicted": self.predicted.tolist()}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Point:
        """What `as_json` wrote."""
        predicted = np.asarray(content["predicted"], dtype=np.int64)
        return cls(Scores(content["accuracy"], content["macro_f1"]), predicted)


Curve: TypeAlias = dict[tuple[int, int], Point]


def learning_curves(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: LabelledTexts,
    test: LabelledTexts,
    *,
    task: ClassificationSettings,
    settings: TrainingSettings,
    scratch: Path,
    prefix: FrozenPrefix | None = None,
    progress: Callable[[object], None] | None = None,
) -> dict[Way, Curve]:
    """Probe and fine-tune `model` on so many labels, measure it, and begin again, for sizes and seeds.

    Both read the mean of the text's last states. The probe is a logistic regression on those of the model as it is.
    Fine-tuning begins with the probe as its head (Kumar et al. 2022, "Fine-tuning can distort pretrained features"): from
    a random head, the dozen updates that some tens of labels give move nothing. Of one seed, a larger number of labels
    contains the smaller. As many layers are trained as in pre-fine-tuning. A finished point is kept in `scratch`, so that
    an interruption loses one. The model's weights are those before the last fine-tuning when it returns.

    Args:
        model: where it stands after pre-fine-tuning, or the base model.
        tokenizer: its tokenizer.
        train: labelled texts to draw from.
        test: labelled texts to measure on.
        task: sizes, seeds, optimisation, and whether to fine-tune at all.
        settings: objective, length, trainable layers, precision and device.
        scratch: folder that belongs to this model and task.
        prefix: stands in for the model's frozen first blocks.
        progress: is told of every point.

    Returns:
        For 'probe', and unless the task says otherwise 'fine-tuned': points by (number of labels, seed).

    Raises:
        TrainingError: the loss is not finite.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tuner: _Classifier | None = None
    ways: tuple[Way, ...] = ("probe", "fine-tuned") if task.fine_tune else ("probe",)
    found: dict[Way, Curve] = {way: {} for way in ways}
    for seed in range(task.seeds):
        for size in task.sizes:
            order = np.random.default_rng((seed, 7)).permutation(len(train.labels))[:size]
            for way in ways:
                file = scratch / f"{way}-{size}-{seed}.json"
                if not file.is_file():
                    tuner = tuner or _Classifier(
                        model, tokenizer, train, test.texts, task=task, settings=settings, prefix=prefix
                    )
                    predicted = tuner.probe(order) if way == "probe" else tuner.tune(order, seed)
                    point = Point.of(predicted, test.labels, len(task.labels))
                    write_atomically(file, json.dumps(point.as_json()))
                found[way][size, seed] = Point.of_json(json.loads(file.read_text(encoding="utf-8")))
                if progress is not None:
                    accuracy = found[way][size, seed].scores.accuracy
                    progress(f"{size} labels, seed {seed}, {way}: accuracy {accuracy:.3f}")
    return found


class _Classifier:
    """A model with a linear head that can be put back to where it began."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        train: LabelledTexts,
        test: Sequence[str],
        *,
        task: ClassificationSettings,
        settings: TrainingSettings,
        prefix: FrozenPrefix | None,
    ) -> None:
        self._model, self._labels, self._known = model, len(task.labels), train.labels
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
        self._reading = LabelOfText(tokenizer.pad_token_id or 0, prefix)
        self._train, self._test = (encode(tokenizer, texts, settings.max_tokens) for texts in (train.texts, test))
        # Of the most labels that any point is given, and of the test texts: once for all points.
        drawn = {int(row) for seed in range(task.seeds) for row in self._order(seed)[: max(task.sizes)]}
        self._rows = {row: place for place, row in enumerate(sorted(drawn))}
        self._states = self._states_of([self._train[row] for row in sorted(drawn)])
        self._test_states = self._states_of(self._test)

    def _order(self, seed: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((seed, 7)).permutation(len(self._known))

    def _fitted(self, rows: npt.NDArray[np.int64]) -> Probe:
        return Probe.fit(self._states[[self._rows[int(row)] for row in rows]], self._known[rows], self._labels)

    def probe(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Labels of the test texts by a probe on the training texts `rows`."""
        return self._fitted(rows).predict(self._test_states)

    def tune(self, rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
        """Labels of the test texts after fine-tuning on the training texts `rows` from the beginning."""
        import torch

        both = torch.nn.ModuleDict({"model": self._model, "head": head_of(self._fitted(rows)).to(self._device)})
        labelled = [LabelledIds(self._train[row], int(self._known[row])) for row in rows]
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
            return self._by_batch(
                self._test, lambda batch: self._reading.logits(both, batch).argmax(dim=1, keepdim=True)
            )[:, 0].astype(np.int64)
        finally:
            with torch.no_grad():
                for name, weight in self._trained.items():
                    weight.copy_(self._before[name])

    def _states_of(self, encoded: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
        return self._by_batch(encoded, lambda batch: self._reading.states(self._model, batch))

    def _by_batch(
        self, encoded: Sequence[npt.NDArray[np.int64]], read: Callable[[Batch], torch.Tensor]
    ) -> npt.NDArray[np.float64]:
        """What `read` makes of texts (texts, …), in their order."""
        import torch

        parts: dict[int, npt.NDArray[np.float64]] = {}
        self._model.eval()
        with torch.inference_mode(), autocast(self._device, self._precision):
            for rows in by_length([max(1, len(ids)) for ids in encoded], MEASURING_BATCH_TOKENS):
                some = [LabelledIds(encoded[row], 0) for row in rows]
                batch = self._reading.batch(some, (), corrupt=False, device=self._device)
                parts |= dict(zip(rows, read(batch).double().cpu().numpy(), strict=True))
        return np.stack([parts[row] for row in range(len(encoded))])


def head_of(probe: Probe) -> torch.nn.Module:
    """A head that gives the probe's logits: a fixed standardisation, and a linear layer to be trained."""
    import torch

    linear = torch.nn.Linear(len(probe.centre), len(probe.bias))
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(probe.weight))
        linear.bias.copy_(torch.from_numpy(probe.bias))

    class _Head(torch.nn.Module):
        centre: torch.Tensor
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.linear = linear
            self.register_buffer("centre", torch.from_numpy(probe.centre).float())
            self.register_buffer("scale", torch.from_numpy(probe.scale).float())

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.linear((states - self.centre) / self.scale)
            return logits

    return _Head()


class LabelOfText:
    """Which label a text has, by a head on the mean of its last states; a ModuleDict holds 'model' and 'head'.

    Args:
        pad: token that fills up batches.
        prefix: stands in for the model's frozen first blocks.
    """

    def __init__(self, pad: int, prefix: FrozenPrefix | None = None) -> None:
        self._pad, self._prefix = pad, prefix

    def batch(
        self, documents: Sequence[LabelledIds], seeds: Sequence[Seed], *, corrupt: bool, device: torch.device
    ) -> Batch:
        """Documents as one batch, each with its label."""
        import torch

        del seeds, corrupt
        inputs, attention = padded([one.ids for one in documents], self._pad)
        rows = np.arange(len(documents))
        labels = np.array([one.label for one in documents], dtype=np.int64)
        tensors = (inputs, attention, rows, labels)
        return Batch(rows, *(torch.from_numpy(tensor).to(device) for tensor in tensors))

    def loss(self, model: torch.nn.ModuleDict) -> Callable[[Batch], torch.Tensor]:
        """A loss per text."""
        from torch.nn.functional import cross_entropy

        return lambda batch: cross_entropy(self.logits(model, batch), batch.labels, reduction="none")

    def states(self, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
        """The mean of the last states of each text (texts, D), float32."""
        with contextlib.nullcontext() if self._prefix is None else self._prefix.standing_in(batch):
            inputs = {"input_ids": batch.inputs, "attention_mask": batch.attention, **model_options(model)}
            last = model.base_model(**inputs).last_hidden_state.float()
        counted = batch.attention[..., None].float()
        mean: torch.Tensor = (last * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1.0)
        return mean

    def logits(self, model: torch.nn.ModuleDict, batch: Batch) -> torch.Tensor:
        """(texts, labels) float32."""
        import torch

        states = self.states(cast("PreTrainedModel", model["model"]), batch)
        with torch.autocast(states.device.type, enabled=False):
            logits: torch.Tensor = model["head"](states)
        return logits
