"""Vectors of documents by an encoder beside the project's, kept in the same store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.embedding.embed import load_encoder
from gotd_assets.embedding.encoder import Encoder, as_stored
from gotd_assets.embedding.store import VectorStore
from gotd_assets.errors import InputError
from gotd_assets.models.encoder import encoder_version
from gotd_assets.models.language import readable_model
from gotd_assets.settings.encoder import EncoderSettings

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from gotd_assets.settings.training import TrainingSettings


def state_encoder(training: TrainingSettings, root: Path, cache: Path) -> EncoderSettings:
    """The base model as an encoder: the mean of its last hidden states, each weighted by its position (RDS+).

    Raises:
        InputError: it is not causal, or cannot be read.
    """
    if training.objective != "causal":
        raise InputError(
            "states weighted by position are of a causal language model, and training.objective is "
            f"{training.objective!r}: take another method"
        )
    model = readable_model(training, root, cache)
    return EncoderSettings(
        model=model.hub_id if model.path is None else str(model.path),
        revision=model.revision,
        kind="transformers",
        pooling="weightedmean",
        max_tokens=training.max_tokens,
        prompt="",
        device=training.device,
        trust_remote_code=training.trust_remote_code,
    )


class KeptVectors:
    """Vectors by `encoder` of frames of doc_id and text; what is in the `store` is not embedded again."""

    def __init__(self, encoder: EncoderSettings, root: Path, store: Path) -> None:
        self._settings, self._root = encoder, root
        self._store = VectorStore(store / encoder_version(encoder, root))
        self._encoder: Encoder | None = None

    def __call__(self, documents: pl.DataFrame) -> npt.NDArray[Any]:
        """Vectors (n, D) of `documents`."""
        with self._store.writing():
            new = documents.filter(self._store.missing(documents.get_column("doc_id"))).unique(
                "doc_id", keep="first", maintain_order=True
            )
            if new.height:
                self._encoder = self._encoder or load_encoder(self._settings, self._root)
                begin = 0
                for vectors in self._encoder.encode(new.get_column("text").to_list(), lambda *_: None):
                    doc_ids = new.get_column("doc_id").slice(begin, len(vectors))
                    self._store.add(doc_ids, as_stored(vectors, self._settings))
                    begin += len(vectors)
        return self._store.get(documents.get_column("doc_id"))
