"""How long an embedding will take, from a short timed sample."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from gotd_assets.artifacts.parquet import scan_parquet
from gotd_assets.catalogue.durations import in_words
from gotd_assets.embedding.embed import load_encoder
from gotd_assets.embedding.store import VectorStore
from gotd_assets.models.encoder import encoder_version

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.encoder import EncoderSettings
    from gotd_assets.settings.training import EstimateSettings


@dataclasses.dataclass(frozen=True)
class EmbeddingEstimate:
    """What is ahead: documents never embedded before, about how many tokens, and hours on this machine."""

    documents: int
    tokens: int
    hours: float

    def __str__(self) -> str:
        return (
            f"{self.documents:,} documents to embed, about {self.tokens:,} tokens: about {in_words(self.hours * 3600)} on "
            "this machine"
        )

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for manifests."""
        return {f"estimated_{name}": value for name, value in dataclasses.asdict(self).items()}


def estimate_embedding(
    documents: Path, encoder: EncoderSettings, root: Path, store: Path, settings: EstimateSettings
) -> EmbeddingEstimate | None:
    """Estimate what `embed_documents` with the same arguments has before it; None if that is little, or a look-up.

    The sample is drawn by doc_id, a hash, so that it has the lengths of all; it passes through the encoder once to warm
    up and once for the clock.

    Raises:
        InputError: the encoder cannot be loaded.
    """
    if encoder.kind == "precomputed":
        return None
    vectors = VectorStore(store / encoder_version(encoder, root))
    vectors.refresh()
    shards = scan_parquet(sorted(documents.glob("documents-*.parquet")))
    doc_ids = shards.select(pl.col("doc_id").unique()).collect().get_column("doc_id")
    missing = doc_ids.filter(vectors.missing(doc_ids))
    if len(missing) < settings.min_documents:
        return None
    drawn = missing.sort().head(settings.sample_documents)
    texts = shards.filter(pl.col("doc_id").is_in(drawn.implode())).unique("doc_id").select("text").collect()
    model = load_encoder(encoder, root)
    sample = texts.get_column("text").to_list()
    tokens = 0

    def count(_: int, n_tokens: int) -> None:
        nonlocal tokens
        tokens += n_tokens

    for _ in model.encode(sample, lambda *_: None):
        pass
    started = time.perf_counter()
    for _ in model.encode(sample, count):
        pass
    seconds = time.perf_counter() - started
    share = len(missing) / len(sample)
    return EmbeddingEstimate(len(missing), round(tokens * share), seconds * share / 3600)
