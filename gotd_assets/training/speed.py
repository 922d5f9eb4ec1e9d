"""How fast a model trains on this machine, from a few updates on made-up text: before anything is selected."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.models.device import choose_device, choose_precision
from gotd_assets.models.language import load_language_model
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.objectives import Objective
from gotd_assets.models.placement import autocast, place
from gotd_assets.training.loop import train

if TYPE_CHECKING:
    from gotd_assets.settings.training import TrainingSettings
    from gotd_assets.training.loop import Step

_UPDATES = 4
# Measuring and keeping a run takes so long whatever the model.
_BESIDE = 3.0


@dataclasses.dataclass(frozen=True)
class Speed:
    """What one training takes: seconds to load the model, seconds for a token trained on and for one measured."""

    loading: float
    trained_token: float
    measured_token: float

    def seconds(self, tokens: float, measured: float) -> float:
        """Of a training on so many tokens, all epochs counted, and a measurement on so many held out."""
        return _BESIDE + self.loading + tokens * self.trained_token + measured * self.measured_token


def measured_speed(settings: TrainingSettings, root: Path, cache: Path, tokens: int) -> Speed:
    """Load the base model and train it for four updates on random texts of `tokens` tokens each; nothing is kept.

    Raises:
        InputError: the model cannot be loaded.
    """
    import torch

    started = time.monotonic()
    model, tokenizer = load_language_model(settings, root, cache)
    loading = time.monotonic() - started
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    trained = choose_trainable(model, settings)
    place(model.to(device), device, precision, exact=trained)
    draw = np.random.default_rng(0)
    length = max(2, min(tokens, settings.max_tokens))
    texts = [
        draw.integers(0, len(tokenizer), length).astype(np.int64)
        for _ in range(_UPDATES * settings.batch_size * settings.gradient_accumulation)
    ]
    steps: list[Step] = []
    train(
        model,
        Objective(tokenizer, settings.objective, settings.mask_probability),
        texts,
        settings.model_copy(update={"epochs": 1.0}),
        precision=precision,
        checkpoint=None,
        identity="speed",
        on_step=steps.append,
    )
    # The first update is slower than the others.
    seen = len(steps) - 1
    seconds = (steps[-1].seconds - steps[0].seconds) / seen if seen else steps[0].seconds
    per_update = steps[-1].tokens / len(steps)
    batch = torch.from_numpy(np.stack(texts[:8])).to(device)
    started = time.monotonic()
    with torch.inference_mode(), autocast(device, precision):
        model(input_ids=batch)
    return Speed(loading, seconds / max(per_update, 1), (time.monotonic() - started) / batch.numel())
