"""The paper's variant of the encoder: fine-tuned on the target task before anything is embedded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.corpus.labelled import LabelledTexts
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import Json, fingerprint
from gotd_assets.models.batches import Batch, LabelledIds, Seed, TokenIds, encode, padded
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.encoder import encoder_version
from gotd_assets.models.encoder_model import write_pooling
from gotd_assets.models.language import save_model
from gotd_assets.settings.training import TrainingSettings
from gotd_assets.training.loop import Step, train

if TYPE_CHECKING:
    import torch

    from gotd_assets.models.encoder_folder import EncoderFolder, Pooling
    from gotd_assets.settings.encoder import EncoderSettings
    from gotd_assets.settings.evaluation import ClassificationSettings

_HEAD_SCALE = 0.02
_CHECKPOINT_STEPS = 25


@dataclasses.dataclass(frozen=True)
class TuningReport:
    """What a fine-tuning of the encoder did; `tuning.json` holds the same.

    Attributes:
        objective: 'classification' or 'contrastive'.
        base_model_version: version of the encoder before.
        documents: texts that were trained on.
        labels: how many different ones they have, 0 without.
        steps: optimizer updates.
        seconds: time in them, parts before an interruption included.
        parameters: number of weights, all of which were trained.
        loss_curve: [step, loss in nats per text], before each update.
    """

    objective: str
    base_model_version: str
    documents: int
    labels: int
    steps: int
    seconds: float
    parameters: int
    loss_curve: Sequence[tuple[int, float]]

    def as_summary(self) -> dict[str, Json]:
        """The figures worth showing, flat."""
        whole: dict[str, Any] = dataclasses.asdict(self)
        del whole["loss_curve"]
        return {**whole, "first_loss": self.loss_curve[0][1], "final_loss": self.loss_curve[-1][1]}


def tune_encoder(
    documents: Path,
    encoder: EncoderSettings,
    *,
    labels: ClassificationSettings | None,
    root: Path,
    out: Path,
    scratch: Path,
    progress: Callable[[object], None] | None = None,
) -> TuningReport:
    """Fine-tune the encoder on `documents`; write `out/model`, which `encoder.model` may name, and `out/tuning.json`.

    With labels, a text's vector is to be nearer, by cosine, to its label's prototype than to the others' (a softmax
    without lengths, as the transport's cost knows none). Without, two passes of a text under different dropout are to
    be nearer to each other than to the other texts of the step (SimCSE, Gao et al. 2021). Vectors are pooled as they
    will be for embedding, and all weights are trained. A training that was killed goes on from its last checkpoint in
    `scratch`; on the CPU with equally many threads the same input gives the same bytes.

    `out/model` holds safetensors, tokenizer and pooling, as sentence-transformers writes them.

    Args:
        documents: folder of document shards, with the labels' column if there are labels.
        encoder: the encoder and, in `tune`, how it is fine-tuned.
        labels: the labelled task that the documents are of, None for texts without labels.
        root: folder that a relative model path is relative to.
        out: an existing folder.
        scratch: folder for checkpoints; survives a crash, belongs to this training alone.
        progress: is told of every step.

    Raises:
        InputError: the encoder is no transformer or cannot be loaded, or there are fewer than two texts or labels.
        TrainingError: the loss is not finite.
    """
    import torch

    from gotd_assets.models.encoder_model import load_transformer, most_tokens

    tell = progress or (lambda _: None)
    tune = encoder.tune
    device = choose_device(encoder.device, "encoder.device")
    precision = choose_precision(encoder.dtype, device, "encoder.dtype")
    version = encoder_version(encoder, root)
    loaded = load_transformer(encoder, root, torch.float32)
    model, tokenizer, pooling = loaded.model, loaded.tokenizer, loaded.pooling
    _refuse_more_than_pooling(loaded.folder, encoder)
    model.to(device).requires_grad_(requires_grad=True)
    limit = most_tokens(encoder, loaded)
    settings = TrainingSettings(
        model=encoder.model,
        epochs=tune.epochs,
        learning_rate=tune.learning_rate,
        batch_size=tune.batch_size,
        weight_decay=0.01,
        checkpoint_steps=_CHECKPOINT_STEPS,
        seed=tune.seed,
    )
    if labels is None:
        texts = LabelledTexts(_texts(documents), np.zeros(0, dtype=np.int64))
    else:
        texts = LabelledTexts.of(documents, labels)
    encoded = encode(tokenizer, [loaded.prompt + text for text in texts.texts], limit)
    # A tokenizer that adds no special tokens may make nothing of a text.
    usable = [row for row, ids in enumerate(encoded) if len(ids)]
    kinds = len(np.unique(texts.labels))
    if len(usable) < 2 or kinds == 1:
        what = f"labels of {kinds} kind" if kinds == 1 else f"{len(usable)} texts"
        raise InputError(f"encoder.tune: target {tune.target!r} has {what} to fine-tune on; two are the least")
    tokens = [encoded[row] for row in usable]
    identity = fingerprint(
        {
            "encoder": version,
            "texts": [ids.tolist() for ids in tokens],
            "labels": texts.labels.tolist(),
            "tune": tune.model_dump(mode="json"),
            "precision": str(precision),
        }
    )
    scratch.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {
        "precision": precision,
        "checkpoint": scratch / "checkpoint.safetensors",
        "identity": identity,
        "on_step": lambda step: tell(_Told(step)),
        "section": "encoder.tune",
    }
    pad = tokenizer.pad_token_id or 0
    if labels is None:
        contrast = _Contrast(pad, pooling, tune.temperature)
        curve, _, seconds = train(model, contrast, tokens, settings, **options)
    else:
        head = torch.nn.Linear(len(pooling.modes) * loaded.dimension, len(labels.labels), bias=False)
        torch.nn.init.normal_(head.weight, std=_HEAD_SCALE, generator=torch.Generator().manual_seed(tune.seed))
        both = torch.nn.ModuleDict({"encoder": model, "prototypes": head.to(device)})
        labelled = [LabelledIds(encoded[row], int(texts.labels[row])) for row in usable]
        curve, _, seconds = train(both, _Classes(pad, pooling, tune.temperature), labelled, settings, **options)
    tell("saving the encoder")
    save_model(model.cpu().eval(), tokenizer, out / "model")
    write_pooling(out / "model", pooling.modes, loaded.dimension, limit)
    report = TuningReport(
        objective="contrastive" if labels is None else "classification",
        base_model_version=version,
        documents=len(usable),
        labels=kinds,
        steps=len(curve),
        seconds=round(seconds, 3),
        parameters=sum(weight.numel() for weight in model.parameters()),
        loss_curve=curve,
    )
    write_atomically(out / "tuning.json", json.dumps(dataclasses.asdict(report), indent=2, allow_nan=False))
    return report


@dataclasses.dataclass(frozen=True)
class _Told:
    """A step as the log shows it: of texts, not tokens."""

    step: Step

    def __str__(self) -> str:
        left = self.step.seconds / self.step.step * (self.step.steps - self.step.step)
        return f"fine-tuning the encoder: step {self.step.step} of {self.step.steps}, loss {self.step.loss:.3f}, about {left:.0f} s left"


class _OnVectors:
    """What objectives on whole texts have in common."""

    def __init__(self, pad: int, pooling: Pooling, temperature: float) -> None:
        self._pad, self._pooling, self._temperature = pad, pooling, temperature

    def _batch(self, documents: Sequence[TokenIds], labels: Sequence[int], device: torch.device) -> Batch:
        import torch

        rows = np.arange(len(documents))
        tensors = (*padded(documents, self._pad), rows, np.asarray(labels, dtype=np.int64))
        return Batch(rows, *(torch.from_numpy(tensor).to(device) for tensor in tensors))

    def _vectors(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Vectors (n, D) of length 1."""
        from torch.nn.functional import normalize

        from gotd_assets.embedding.encoders.pooling import pooled

        hidden = model(input_ids=batch.inputs, attention_mask=batch.attention).last_hidden_state
        return normalize(pooled(hidden, batch.attention, self._pooling), dim=1)

    def _compete(self, vectors: torch.Tensor, others: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Losses (n,) if row k of `vectors` (n, D) is to be nearest to row labels[k] of `others` (m, D)."""
        import torch
        from torch.nn.functional import cross_entropy

        # Divided by a small temperature, the rounding of half precision would be felt.
        with torch.autocast(vectors.device.type, enabled=False):
            cosines = vectors.float() @ others.float().T
            return cross_entropy(cosines / self._temperature, labels, reduction="none")


class _Contrast(_OnVectors):
    """Which text of the batch is the same one under another dropout."""

    def batch(
        self, documents: Sequence[TokenIds], seeds: Sequence[Seed], *, corrupt: bool, device: torch.device
    ) -> Batch:
        """Documents as one batch; the label of each is its own place in it."""
        del seeds, corrupt
        return self._batch(documents, range(len(documents)), device)

    def loss(self, model: torch.nn.Module) -> Callable[[Batch], torch.Tensor]:
        """A loss per text."""
        return lambda batch: self._compete(self._vectors(model, batch), self._vectors(model, batch), batch.labels)


class _Classes(_OnVectors):
    """Which label a text has; the model holds an encoder and a prototype for each label."""

    def batch(
        self, documents: Sequence[LabelledIds], seeds: Sequence[Seed], *, corrupt: bool, device: torch.device
    ) -> Batch:
        """Documents as one batch with their labels."""
        del seeds, corrupt
        return self._batch([one.ids for one in documents], [one.label for one in documents], device)

    def loss(self, model: torch.nn.ModuleDict) -> Callable[[Batch], torch.Tensor]:
        """A loss per text."""
        from torch.nn.functional import normalize

        encoder, weights = model["encoder"], model["prototypes"].get_parameter("weight")

        def of(batch: Batch) -> torch.Tensor:
            return self._compete(self._vectors(encoder, batch), normalize(weights, dim=1), batch.labels)

        return of


def _refuse_more_than_pooling(folder: EncoderFolder, encoder: EncoderSettings) -> None:
    """A folder of which more would have to be kept than its transformer and its pooling."""
    more = [step.kind for step in folder.after if step.kind != "Normalize"]
    more += [] if folder.dimensions is None else ["truncate_dim"]
    more += [] if folder.pools_prompt else ["include_prompt"]
    if more:
        raise InputError(
            f"encoder.tune: {encoder.model!r} has {', '.join(more)} after its transformer, which is not fine-tuned: take "
            "another encoder, or drop tune"
        )


def _texts(documents: Path) -> list[str]:
    return scan_documents(documents).select("text").collect().get_column("text").to_list()
