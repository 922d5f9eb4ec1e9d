"""How much easier a model finds texts once it has seen the target: its loss after the first pass and after the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import fingerprint
from gotd_assets.models.batches import encode
from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.heldout import as_documents, measured
from gotd_assets.models.kept import kept_by_shard
from gotd_assets.models.language import load_language_model, model_version
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.objectives import Objective
from gotd_assets.training.loop import train

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl
    import torch

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.training import TrainingSettings
    from gotd_assets.training.loop import Step

_CODE = 1


class WarmUp:
    """The base model trained on `target`, and what that does to its loss on other texts.

    Trained when a shard is asked for that is not known; what was measured is kept below `cache`.

    Args:
        settings: the base model, and how it is trained: `epochs` is the number of passes.
        target: texts.
        root: folder that a relative model path is relative to.
        cache: folder for dequantised weights and for what is kept.
        progress: is told how far the work is.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        target: Sequence[str],
        *,
        root: Path,
        cache: Path,
        progress: Callable[[object], None] | None = None,
    ) -> None:
        # Candidates are texts to a selection method, conversations too.
        settings = settings.model_copy(update={"chat": None})
        self._settings, self._target, self._root, self._cache = settings, list(target), root, cache
        self._tell = progress or (lambda _: None)
        made_of: Json = {
            "model": model_version(settings, root),
            "settings": settings.shaping(),
            "target": list(self._target),
            "code": _CODE,
        }
        self._folder = cache / "warm-up" / fingerprint(made_of)
        self._loaded: tuple[Any, Any] | None = None
        self._weights: list[dict[str, torch.Tensor]] = []

    def __call__(self, documents: pl.DataFrame) -> npt.NDArray[np.float64]:
        """(ℓ₁ − ℓ_T)/ℓ₁ (n,) of `documents` (doc_id, text), ℓ per token; NaN of a text without a token to predict.

        Raises:
            InputError: the model cannot be loaded, or no text of the target has a token to predict.
            TrainingError: the warm-up diverged.
        """
        return kept_by_shard(self._folder, documents, self._drops)

    def _drops(self, texts: list[str]) -> npt.NDArray[np.float64]:
        model, tokenizer = self._warmed()
        losses = []
        for weights in self._weights:
            parameters = dict(model.named_parameters())
            for name, tensor in weights.items():
                parameters[name].data.copy_(tensor)
            found = measured((model, tokenizer), as_documents(texts), self._settings, progress=self._tell)
            tokens = found.get_column("tokens").to_numpy()
            nll = found.get_column("nll").to_numpy()
            losses.append(np.divide(nll, tokens, out=np.full(len(nll), np.nan), where=tokens > 0))
        first, last = losses
        drops: npt.NDArray[np.float64] = np.divide(
            first - last, first, out=np.full(len(first), np.nan), where=first > 0
        )
        return drops

    def _warmed(self) -> tuple[Any, Any]:
        """The model and its tokenizer; its weights after the first pass and after the last are kept beside."""
        if self._loaded is not None:
            return self._loaded
        settings = self._settings
        model, tokenizer = load_language_model(settings, self._root, self._cache)
        device = choose_device(settings.device)
        model.to(device)
        trained = choose_trainable(model, settings)
        objective = Objective(tokenizer, settings.objective, settings.mask_probability)
        encoded = [ids for ids in encode(tokenizer, self._target, settings.max_tokens) if objective.predicted(ids) > 0]
        if not encoded:
            raise InputError("method 'tacs': no text of the target has a token to predict; all are too short")
        first = math.ceil(len(encoded) / (settings.batch_size * settings.gradient_accumulation))

        def on_step(step: Step) -> None:
            if step.step == first:
                self._weights.append({name: tensor.detach().clone() for name, tensor in trained.items()})
            self._tell(f"warm-up on the target: {step}")

        train(
            model,
            objective,
            encoded,
            settings,
            precision=choose_precision(settings.precision, device),
            checkpoint=None,
            identity="warm-up",
            on_step=on_step,
            section="selection.tacs",
        )
        self._weights.append({name: tensor.detach().clone() for name, tensor in trained.items()})
        self._loaded = model, tokenizer
        return self._loaded
