"""Embedding documents: only what was never embedded, a shard at a time, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.artifacts.digests import SeenDigests, digests_of
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.catalogue.durations import in_words
from gotd_assets.embedding.encoder import Encoder, as_stored, without_words
from gotd_assets.embedding.store import SEGMENT_ROWS, VectorStore, id_bytes
from gotd_assets.errors import InputError
from gotd_assets.execution.engine import Engine, mapped
from gotd_assets.execution.processes import LocalEngine
from gotd_assets.models.encoder import encoder_version, is_static
from gotd_assets.models.encoder_folder import SETTING
from gotd_assets.models.location import find_model

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.encoder import EncoderSettings


# What a worker elsewhere is given at a time.
_SEGMENTS_AT_A_TIME = 2


@dataclasses.dataclass(frozen=True)
class EmbeddingProgress:
    """Documents embedded of those that were missing, tokens, seconds."""

    done: int
    missing: int
    tokens: int
    seconds: float

    def __str__(self) -> str:
        rate = self.done / max(self.seconds, 1e-9)
        left = (self.missing - self.done) / max(rate, 1e-9)
        return f"embedded {self.done:,} of {self.missing:,} new documents, {rate:,.0f}/s, about {in_words(left)} left"


@dataclasses.dataclass(frozen=True)
class EmbeddingReport:
    """What became of the documents of one artifact.

    Attributes:
        documents: vectors written.
        quarantined: documents without a usable vector (NaN or zero), listed in quarantine.jsonl.
        embedded: passed through the encoder in this run.
        reused: taken from the store.
        tokens: that passed through the encoder.
        dimension: D.
        dtype: number format of stored vectors.
        documents_per_second: of those embedded.
    """

    documents: int
    quarantined: int
    embedded: int
    reused: int
    tokens: int
    dimension: int
    dtype: str
    documents_per_second: float

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for manifests."""
        return dict(dataclasses.asdict(self))


def embed_documents(
    documents: Path,
    settings: EncoderSettings,
    root: Path,
    store: Path,
    out: Path,
    *,
    progress: Callable[[EmbeddingProgress], None] | None = None,
    engine: Engine | None = None,
) -> EmbeddingReport:
    """Write to `out` a vector for every document of folder `documents`, shard by shard in the same order.

    Vectors come from the store in folder `store`; documents it does not know pass through the encoder and are added,
    by this process (which uses all processors or the GPU) or by the workers of an `engine` elsewhere, each with the
    encoder loaded once. `out` receives vectors-*.npy (n, D) and ids-*.npy (n, 16), and quarantine.jsonl.

    Raises:
        InputError: the encoder cannot be loaded, or no document has a usable vector.
    """
    started = time.monotonic()
    engine = LocalEngine(1) if engine is None or engine.is_local else engine
    vectors = VectorStore(store / encoder_version(settings, root))
    # Beside words, the model's own vectors are kept as those of the model alone.
    alone = None if settings.lexical is None else VectorStore(store / encoder_version(without_words(settings), root))
    shards = sorted(documents.glob("documents-*.parquet"))
    counts = {"embedded": 0, "tokens": 0}
    with vectors.writing(), alone.writing() if alone is not None else contextlib.nullcontext():
        missing = sum(int(vectors.missing(_doc_ids(shard)).sum()) for shard in shards)

        def tick(n_documents: int, n_tokens: int) -> None:
            counts["embedded"] += n_documents
            counts["tokens"] += n_tokens
            if progress is not None:
                seconds = time.monotonic() - started
                progress(EmbeddingProgress(counts["embedded"], missing, counts["tokens"], seconds))

        # This process tells after every batch, and does a shard in one go, as it cuts one segment into tokens while the
        # model is at the one before.
        embedder = SegmentEmbedder(settings, root, vectors.folder, tick if engine.is_local else None)
        rows = None if engine.is_local else _SEGMENTS_AT_A_TIME * SEGMENT_ROWS
        segments = _missing_rows(shards, vectors, rows)
        workers = -(-missing // SEGMENT_ROWS)
        for _, (n_documents, n_tokens) in mapped(engine, embedder, segments, name="embed", workers=workers):
            if not engine.is_local:
                tick(n_documents, n_tokens)
        vectors.refresh()
    seconds = time.monotonic() - started
    total, quarantined, dimension = _write_artifact(shards, vectors, out)
    if total == 0 and quarantined:
        raise InputError(
            f"none of {quarantined} documents has a usable vector (all NaN or zero); is {settings.model!r} the right encoder?"
        )
    return EmbeddingReport(
        documents=total,
        quarantined=quarantined,
        embedded=counts["embedded"],
        reused=total + quarantined - counts["embedded"],
        tokens=counts["tokens"],
        dimension=dimension,
        dtype=settings.storage_dtype,
        documents_per_second=round(counts["embedded"] / max(seconds, 1e-9), 1),
    )


_Rows = tuple[Path, "npt.NDArray[np.int64]"]
"""A shard of documents, and rows of it."""


def _missing_rows(shards: Sequence[Path], vectors: VectorStore, most: int | None) -> Iterator[_Rows]:
    """Rows of every shard that have no vector yet and whose document was in no row before, at most so many at a time."""
    claimed = SeenDigests()
    for shard in shards:
        doc_ids = _doc_ids(shard)
        rows = vectors.missing(doc_ids).arg_true().to_numpy().astype(np.int64)
        rows = rows[claimed.meet(digests_of(doc_ids.gather(rows).to_list()), rows)[1]]
        for start in range(0, len(rows), most or max(len(rows), 1)):
            yield shard, rows[start : start + most if most else None]


class SegmentEmbedder:
    """Embeds rows of shards into segments of the store in `folder`; sent to a worker, it loads its encoder there.

    A segment is named by what is in it, so that one that was written by a worker that was lost is not made again.
    """

    def __init__(
        self, settings: EncoderSettings, root: Path, folder: Path, tick: Callable[[int, int], None] | None = None
    ) -> None:
        self._arguments = settings, root, folder
        self._store = VectorStore(folder)
        self._tick = tick
        self._encoder: Encoder | None = None
        self._alone = (
            None
            if settings.lexical is None
            else VectorStore(folder.parent / encoder_version(without_words(settings), root))
        )

    def __reduce__(self) -> tuple[type[SegmentEmbedder], tuple[EncoderSettings, Path, Path]]:
        """By its arguments: an encoder stays where it was loaded."""
        return SegmentEmbedder, self._arguments

    def __call__(self, rows: _Rows) -> tuple[int, int]:
        """Documents and tokens that passed through the encoder."""
        settings, root, _ = self._arguments
        if self._encoder is None:
            self._encoder = load_encoder(settings, root)
        passed = [0, 0]

        def tick(n_documents: int, n_tokens: int) -> None:
            passed[0] += n_documents
            passed[1] += n_tokens
            if self._tick is not None:
                self._tick(n_documents, n_tokens)

        shard, chosen = rows
        frame = read_parquet(shard, columns=["doc_id", "text"])[chosen]
        doc_ids, texts = frame.get_column("doc_id"), frame.get_column("text").to_list()
        start = 0
        for raw in self._encoder.encode(texts, tick) if self._alone is None else self._beside(doc_ids, texts, tick):
            self._store.add(doc_ids.slice(start, len(raw)), as_stored(raw, settings))
            start += len(raw)
        return passed[0], passed[1]

    def _beside(
        self, doc_ids: pl.Series, texts: list[str], tick: Callable[[int, int], None]
    ) -> Iterator[npt.NDArray[np.float32]]:
        """The same vectors as the encoder's, for which the model's own are looked up, and added where they are missing."""
        from gotd_assets.embedding.beside_words import BesideWords

        if not isinstance(self._encoder, BesideWords) or self._alone is None:
            raise TypeError(f"{self._encoder} has no words beside it")
        self._alone.refresh()
        for start in range(0, len(texts), SEGMENT_ROWS):
            ids, part = doc_ids.slice(start, SEGMENT_ROWS), texts[start : start + SEGMENT_ROWS]
            new = self._alone.missing(ids)
            if new.any():
                chosen = [text for text, is_new in zip(part, new, strict=True) if is_new]
                unknown, begin = ids.filter(new), 0
                for made in self._encoder.own(chosen, tick):
                    self._alone.add(unknown.slice(begin, len(made)), made)
                    begin += len(made)
            tick(int((~new).sum()), 0)
            yield self._encoder.join(self._alone.get(ids), part)


def load_encoder(settings: EncoderSettings, root: Path) -> Encoder:
    """The encoder that `settings` describes.

    Raises:
        InputError: it cannot be loaded.
    """
    if settings.kind == "precomputed":
        from gotd_assets.embedding.encoders.precomputed import PrecomputedVectors

        return PrecomputedVectors(settings, root)
    if settings.kind == "lexical":
        from gotd_assets.embedding.encoders.lexical import LexicalEncoder

        return LexicalEncoder(settings, root)
    if settings.lexical is not None:
        from gotd_assets.embedding.beside_words import BesideWords

        return BesideWords(load_encoder(without_words(settings), root), settings, root)
    path = find_model(settings.model, root, SETTING)
    if is_static(settings, path):
        from gotd_assets.embedding.encoders.static import StaticEncoder

        return StaticEncoder(settings, root)
    from gotd_assets.embedding.encoders.transformer import TransformerEncoder

    return TransformerEncoder(settings, root)


def _doc_ids(shard: Path) -> pl.Series:
    return read_parquet(shard, columns=["doc_id"]).get_column("doc_id")


def _write_artifact(shards: Sequence[Path], store: VectorStore, out: Path) -> tuple[int, int, int]:
    total = quarantined = dimension = 0
    with (out / "quarantine.jsonl").open("w", encoding="utf-8") as quarantine:
        for number, shard in enumerate(shards):
            doc_ids = _doc_ids(shard)
            if not len(doc_ids):
                continue
            vectors = store.get(doc_ids)
            finite = np.isfinite(vectors).all(axis=1)
            usable = finite & (np.abs(np.where(finite[:, None], vectors, 0)).max(axis=1) > 0)
            for doc_id, is_finite in zip(doc_ids.filter(pl.Series(~usable)), finite[~usable], strict=True):
                reason = "the vector is zero" if is_finite else "the vector holds NaN or an infinity"
                quarantine.write(json.dumps({"doc_id": doc_id, "reason": reason}) + "\n")
            quarantined += int((~usable).sum())
            total += int(usable.sum())
            dimension = vectors.shape[1]
            np.save(out / f"vectors-{number:05}.npy", vectors[usable], allow_pickle=False)
            np.save(out / f"ids-{number:05}.npy", id_bytes(doc_ids.filter(pl.Series(usable))), allow_pickle=False)
    return total, quarantined, dimension
