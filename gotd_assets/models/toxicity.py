"""How toxic texts are, by a sequence classification model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256, fingerprint
from gotd_assets.models.batches import TokenIds, by_length, encode, padded
from gotd_assets.models.device import choose_device
from gotd_assets.models.kept import kept_by_shard
from gotd_assets.models.location import find_model
from gotd_assets.models.pretrained import load_tokenizer, load_weights, positions_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.settings.evaluation import ToxicitySettings

_CODE = 1
_CONTENT = (".json", ".safetensors", ".txt", ".model")


def toxicity_version(settings: ToxicitySettings, root: Path) -> str:
    """Hash of the classifier's files and of the settings that change what it says; torch is not loaded.

    Raises:
        InputError: no classifier is named, it is not on this machine, or it has no safetensors weights.
    """
    folder = classifier_folder(settings, root)
    files = sorted(file for file in folder.iterdir() if file.suffix in _CONTENT)
    if not any(file.suffix == ".safetensors" for file in files):
        raise InputError(
            f"toxicity.model: {folder} has no weights (*.safetensors); pickled weights (*.bin, *.pt) are not loaded: "
            "convert them with transformers' save_pretrained"
        )
    return fingerprint(
        {
            "code": _CODE,
            "files": {file.name: file_sha256(file) for file in files},
            "labels": settings.labels,
            "max_tokens": settings.max_tokens,
        }
    )


class ToxicityClassifier:
    """A sequence classification model of transformers, in float32.

    Args:
        settings: which model, and which of its labels mean toxic.
        root: folder that a relative path is relative to.

    Raises:
        InputError: it cannot be loaded, its head is missing, it has no such label, or the device is not one of this machine.
    """

    def __init__(self, settings: ToxicitySettings, root: Path) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification

        folder = classifier_folder(settings, root)
        subject = f"toxicity.model {settings.model!r}"
        self._tokenizer = load_tokenizer(folder, subject, local_files_only=True)
        model = load_weights(
            AutoModelForSequenceClassification,
            folder,
            subject,
            "a sequence classification model",
            remedy="take one that was saved with its head",
            dtype=torch.float32,
            local_files_only=True,
        )
        self._model = model.to(choose_device(settings.device, "toxicity.device")).eval()
        positions = positions_of(model) or settings.max_tokens
        self._max_tokens = min(settings.max_tokens, positions, self._tokenizer.model_max_length)
        self._batch_tokens = settings.batch_tokens
        self._together = model.config.num_labels == 1 or model.config.problem_type == "multi_label_classification"
        self._toxic = toxic_outputs(settings, model.config.id2label)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Toxicity (n,) in [0, 1] of `texts`."""
        import torch

        encoded = encode(self._tokenizer, texts, self._max_tokens)
        found = np.zeros(len(encoded))
        with torch.inference_mode():
            for rows in by_length([max(1, len(ids)) for ids in encoded], self._batch_tokens):
                found[rows] = self._batch([encoded[row] for row in rows])
        return found

    def _batch(self, encoded: Sequence[TokenIds]) -> npt.NDArray[np.float64]:
        import torch

        inputs, mask = map(torch.from_numpy, padded(encoded, self._tokenizer.pad_token_id or 0))
        device = self._model.device
        logits = self._model(input_ids=inputs.to(device), attention_mask=mask.to(device)).logits.double()
        if self._together:
            scores = logits.sigmoid()[:, self._toxic].amax(dim=1)
        else:
            scores = logits.softmax(dim=1)[:, self._toxic].sum(dim=1)
        numbers: npt.NDArray[np.float64] = scores.cpu().numpy()
        return numbers


class KeptToxicity:
    """Toxicity of documents, shard by shard; what was scored once is kept in `cache` for other targets and runs.

    The classifier is loaded when a shard is not known. Safe among processes: a shard scored twice is the same.
    """

    def __init__(self, settings: ToxicitySettings, root: Path, cache: Path) -> None:
        self._settings, self._root = settings, root
        self._folder = cache / toxicity_version(settings, root)
        self._classifier: ToxicityClassifier | None = None

    def __call__(self, documents: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Toxicity (n,) of `documents` (doc_id, text)."""

        def measure(texts: list[str]) -> npt.NDArray[np.float64]:
            self._classifier = self._classifier or ToxicityClassifier(self._settings, self._root)
            return self._classifier(texts)

        return kept_by_shard(self._folder, documents, measure)


def classifier_folder(settings: ToxicitySettings, root: Path) -> Path:
    """The classifier's folder.

    Raises:
        InputError: none is named, or it is not on this machine.
    """
    if settings.model is None:
        raise InputError("toxicity.model: no classifier is named; name the folder of a sequence classification model")
    folder = find_model(settings.model, root, "toxicity.model")
    if folder is None or not folder.is_dir():
        raise InputError(
            f"toxicity.model {settings.model!r} is no folder on this machine; classifiers are not downloaded: name a "
            "folder, or 'package:NAME[/FOLDER]'"
        )
    return folder


def toxic_outputs(settings: ToxicitySettings, labels: Mapping[Any, str]) -> list[int]:
    """Which outputs of a classifier mean toxic; `labels` are its configuration's, by number.

    Raises:
        InputError: it has no such label.
    """
    if len(labels) == 1:
        return [0]
    known = {str(label): int(number) for number, label in labels.items()}
    unknown = [label for label in settings.labels if label not in known]
    if unknown:
        raise InputError(
            f"toxicity.labels: the model {settings.model!r} has no label {unknown[0]!r}; it has: {', '.join(known)}"
        )
    return [known[label] for label in settings.labels]
