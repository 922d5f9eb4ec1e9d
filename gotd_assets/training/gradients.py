"""Where training on a text would move a model's last layer: gradients as vectors of some thousand numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.fingerprint import fingerprint
from gotd_assets.models.batches import encode
from gotd_assets.models.device import choose_device
from gotd_assets.models.kept import kept_by_shard
from gotd_assets.models.language import load_language_model, model_version
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.objectives import Objective

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.training import TrainingSettings

DIMENSION = 4096
_CODE = 1
_SEED = 0


class LastLayerGradients:
    """Gradients of the mean loss of a text by the weights of the base model's last layer, sketched; what was measured is kept.

    A count sketch (Charikar et al. 2002) adds every coordinate, with a random sign, to one of 4,096: products of sketches
    are those of gradients on average, with an error of about 1/64 of the lengths.

    Args:
        settings: the base model; its texts are cut to `max_tokens`.
        root: folder that a relative model path is relative to.
        cache: folder for dequantised weights and for what is kept.
    """

    def __init__(self, settings: TrainingSettings, root: Path, cache: Path) -> None:
        self._settings, self._root, self._cache = settings, root, cache
        made_of: Json = {
            "model": model_version(settings, root),
            "objective": settings.objective,
            "tokens": settings.max_tokens,
            "code": _CODE,
        }
        self._folder = cache / "gradients" / fingerprint(made_of)
        self._loaded: tuple[Any, ...] | None = None

    def __call__(self, documents: pl.DataFrame) -> npt.NDArray[np.float64]:
        """Sketched gradients (n, 4096) of `documents` (doc_id, text); zero for a text without a token to predict.

        Raises:
            InputError: the model cannot be loaded.
        """
        return kept_by_shard(self._folder, documents, self._gradients)

    def _gradients(self, texts: list[str]) -> npt.NDArray[np.float64]:
        import torch

        model, objective, loss_of, trained, encoded_by, sketch = self._load()
        found = np.zeros((len(texts), DIMENSION))
        for row, ids in enumerate(encode(encoded_by, texts, self._settings.max_tokens)):
            if objective.predicted(ids) < 1:
                continue
            batch = objective.batch([ids], [(0, 0)], corrupt=False, device=model.device)
            gradients = torch.autograd.grad(loss_of(batch).mean(), trained)
            flat = torch.cat([gradient.flatten().float() for gradient in gradients]).cpu()
            buckets, signs = sketch
            found[row] = torch.zeros(DIMENSION).index_add_(0, buckets, flat * signs).double().numpy()
        return found

    def _load(self) -> tuple[Any, ...]:
        import torch

        if self._loaded is None:
            settings = self._settings.model_copy(update={"trainable_layers": 1})
            model, tokenizer = load_language_model(settings, self._root, self._cache)
            model.to(choose_device(settings.device)).eval()
            trained = list(choose_trainable(model, settings).values())
            objective = Objective(tokenizer, settings.objective, settings.mask_probability)
            size = sum(weights.numel() for weights in trained)
            draw = np.random.default_rng(_SEED)
            buckets = torch.from_numpy(draw.integers(0, DIMENSION, size))
            signs = torch.from_numpy(draw.integers(0, 2, size).astype(np.float32) * 2 - 1)
            self._loaded = model, objective, objective.loss(model), trained, tokenizer, (buckets, signs)
        return self._loaded
