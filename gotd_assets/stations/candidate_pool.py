"""All sources as one pool, each document once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import polars as pl

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.store import ArtifactWriter
from gotd_assets.catalogue.columns import Table
from gotd_assets.catalogue.shown import Description, Markdown, Shown, figures
from gotd_assets.catalogue.tables import frame_table
from gotd_assets.lineage import Materialisation
from gotd_assets.settings.project import Settings
from gotd_assets.stations.engine import engine_of
from gotd_assets.stations.reads import Each
from gotd_assets.stations.station import Follows, Recipe, Station
from gotd_assets.stations.work import Work


def _compares_vectors(settings: Settings) -> bool:
    return settings.duplicates.cosine is not None


_DOCUMENTS = Each("raw_candidates")
_EMBEDDINGS = Each("candidate_embeddings", when=_compares_vectors)


def candidate_pool(work: Work) -> Recipe:
    """Which documents are duplicates of which, across all sources.

    Of documents that are the same, or nearly, the first in the declared order of sources stays in the pool: by
    their words, and where `duplicates.cosine` is set by their vectors too. The
    paper does not de-duplicate; without it a selection fills up with copies of one good document.
    """
    settings = work.settings.duplicates
    documents = {source: raw.path for source, raw in work.open(_DOCUMENTS).items()}
    compared = work.open(_EMBEDDINGS) if _compares_vectors(work.settings) else {}
    embeddings = {source: made.path for source, made in compared.items()}
    sources = list(documents)
    forgotten = work.forgotten()

    def write(writer: ArtifactWriter) -> None:
        from gotd_assets.corpus.duplicates.search import find_duplicates
        from gotd_assets.selection.pool.left_out import write_left_out
        from gotd_assets.selection.pool.similar import leave_out_similar

        duplicates = writer.path / "duplicates.parquet"
        left_out = writer.path / "left_out.parquet"
        with engine_of(work) as engine:
            report = find_duplicates(documents, settings, duplicates, progress=work.show, engine=engine)
        writer.summary.update(report.as_summary())
        writer.summary["forgotten"] = write_left_out(
            duplicates, pl.Series(forgotten, dtype=pl.String), sources, left_out
        )
        if settings.cosine is not None:
            similar = leave_out_similar(embeddings, settings.cosine, duplicates, left_out, progress=work.show)
            writer.summary.update(similar.as_summary(documents))

    def record(artifact: Artifact, materialisation: Materialisation) -> Materialisation:
        from gotd_assets.selection.pool.left_out import exclusions

        left_out = exclusions(artifact.file("duplicates.parquet"), forgotten)
        return dataclasses.replace(materialisation, exclusions=left_out)

    return Recipe(
        {
            "duplicates": settings.shaping(without=("contamination",)),
            "order": sources,
            "forgotten": forgotten,
        },
        write,
        _described,
        record,
        paced_by="documents",
    )


def _described(artifact: Artifact) -> Description:
    return _duplicates(artifact) | _similar(artifact)


def _duplicates(artifact: Artifact) -> dict[str, Shown]:
    """Of each source, how many documents leave the pool and why, and examples with what they repeat."""
    from gotd_assets.catalogue import plots

    summary: Mapping[str, Any] = artifact.manifest.summary
    documents = summary["documents_by_source"]
    by_vectors = summary.get("vector_by_source", {})
    rows = [
        {
            "source": source,
            "documents": documents[source],
            "exact": summary["exact_by_source"][source],
            "near": summary["near_by_source"][source],
            "kept": documents[source]
            - summary["exact_by_source"][source]
            - summary["near_by_source"][source]
            - by_vectors.get(source, 0),
            "rate": summary["rate_by_source"][source],
        }
        for source in documents
    ]
    shown: dict[str, Shown] = {
        "kept": Markdown(plots.bars({row["source"]: row["kept"] for row in rows}, "documents that stay")),
        "rates": frame_table(pl.DataFrame(rows)),
    }
    if summary["examples"]:
        columns = ("text", "matched_text", "kind", "similarity", "source", "matched_source")
        shown["examples"] = frame_table(pl.DataFrame(summary["examples"]).select(columns))
    return shown | figures(artifact, "documents", "exact", "near", "vector", "forgotten")


def _similar(artifact: Artifact) -> dict[str, Shown]:
    """How many documents leave the pool by their vectors, and the least similar of them; nothing if none was compared."""
    summary: Mapping[str, Any] = artifact.manifest.summary
    if "vector_by_source" not in summary:
        return {}
    found, rates = summary["vector_by_source"], summary["vector_rate_by_source"]
    by_source = pl.DataFrame({"source": list(found), "vector": list(found.values()), "rate": list(rates.values())})
    shown: dict[str, Shown] = {"vector_rates": frame_table(by_source)}
    if summary["vector_examples"]:
        columns = ("similarity", "source", "matched_source", "text", "matched_text")
        shown["vector_examples"] = frame_table(pl.DataFrame(summary["vector_examples"]).select(columns))
    return shown


STATION = Station(
    prepare=candidate_pool,
    verb="find duplicates across sources",
    division=None,
    group="candidates",
    kinds=frozenset({"polars", "parquet"}),
    has_workers=True,
    code_version="2",
    reads=(_DOCUMENTS, _EMBEDDINGS),
    table=Table(
        "duplicates.parquet",
        {
            "doc_id": "Document that repeats another.",
            "source": "Where it stands.",
            "matched_doc_id": "The one that stays in the pool.",
            "matched_source": "Where that one stands.",
            "kind": "'exact', 'near' (by words) or 'vector'.",
            "similarity": "Jaccard similarity of their word shingles; of kind 'vector' the cosine of their vectors.",
        },
        {
            "doc_id": [("raw_candidates", "doc_id")],
            "source": [("raw_candidates", "source")],
            "matched_doc_id": [("raw_candidates", "doc_id")],
            "matched_source": [("raw_candidates", "source")],
            "kind": [("raw_candidates", "text")],
            "similarity": [("raw_candidates", "text")],
        },
    ),
    # Vectors come later than the documents, and are waited for where they are compared.
    follows=Follows(
        lambda settings: "candidate_embeddings" if _compares_vectors(settings) else "raw_candidates", "new candidates"
    ),
)
