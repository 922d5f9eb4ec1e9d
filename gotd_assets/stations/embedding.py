"""What the two embedding stations have in common."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import Table
from gotd_assets.catalogue.shown import ROW_COUNT, Description, Shown, count, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.fingerprint import Json, fingerprint
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.stations.engine import engine_of
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe
from gotd_assets.stations.work import Work

# The encoder, where it is an artifact itself.
TUNED_ENCODER = One("tuned_encoder", when=lambda settings: settings.encoder.tune.target is not None)


def embedding_of(work: Work, documents: Path) -> Recipe:
    """How the documents in folder `documents` are embedded."""
    encoder = _encoder(work)

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.embedding.embed import embed_documents
        from gotd_assets.embedding.estimate import estimate_embedding

        vectors = work.project.home.vectors
        work.announce(estimate_embedding(documents, encoder, work.root, vectors, work.settings.estimates), writer)
        with engine_of(work) as engine:
            report = embed_documents(
                documents, encoder, work.root, vectors, writer.path, progress=work.show, engine=engine
            )
        writer.summary.update(report.as_summary())

    return Recipe({"encoder": work.settings.encoder.shaping()}, write, _described)


def embedding_table(documents: str) -> Table:
    """The table of vectors of the asset `documents`."""
    return Table(
        "vectors-*.npy",
        {"doc_id": "Document.", "vector": "Its sentence vector; the type says how many numbers of which kind."},
        {"doc_id": [(documents, "doc_id")], "vector": [(documents, "text")]},
    )


def _encoder(work: Work) -> EncoderSettings:
    """The encoder that the settings name, or what fine-tuning made of it; its version becomes an input."""
    from gotd_assets.models.encoder import CODE_VERSION, encoder_version, resolved_prompt

    encoder = work.settings.encoder
    if work.partition.source is None:
        encoder = encoder.of_targets()
    if encoder.tune.target is None:
        work.depend_on({"encoder": encoder_version(encoder, work.root)})
        return encoder
    tuned = work.open(TUNED_ENCODER)
    # In a dry run its files may not be there yet; its version stands for them. The prompt is that of the model before.
    prompt = resolved_prompt(encoder, work.root)
    prompted: dict[str, Json] = {"prompt": prompt} if prompt else {}
    if encoder.lexical is not None:
        prompted["lexical"] = encoder.lexical
    work.depend_on({"encoder": fingerprint({"code": CODE_VERSION, "tuned": tuned.version, **prompted})})
    return encoder.model_copy(
        update={"model": str(tuned.path / "model"), "revision": None, "kind": "transformers", "prompt": prompt}
    )


_FIRST = ("documents", "embedded", "reused", "quarantined", "documents_per_second", "dimension")


def _described(artifact: Artifact) -> Description:
    """How many vectors, how many of them new, and how fast; what has none, and why; how some begin."""
    shown: dict[str, Shown] = {}
    if count(artifact, "quarantined"):
        path = artifact.file("quarantine.jsonl")
        reasons = pl.read_ndjson(path).group_by("reason").len("documents").sort("reason")
        shown = {"quarantine": frame_table(reasons), "quarantine_file": path}
    sample = frame_table(_beginnings(artifact))
    return shown | {"sample": sample} | figures(artifact, *_FIRST) | {ROW_COUNT: count(artifact, "documents")}


def _beginnings(artifact: Artifact) -> pl.DataFrame:
    """The first vectors: doc_id and how they begin."""
    from gotd_assets.embedding.vectors import open_vectors

    shard = open_vectors(artifact.path)[0]
    begins = [", ".join(f"{value:.3f}" for value in vector[:4]) + " …" for vector in shard.vectors[:5]]
    return pl.DataFrame({"doc_id": shard.doc_ids().head(5), "vector": begins})
