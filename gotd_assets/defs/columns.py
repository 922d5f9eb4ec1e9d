"""What the columns of each artifact mean, and which columns before them they come from, for Dagster's catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import dagster as dg
import numpy as np
import polars as pl

from gotd_assets.storage import Artifact

Column: TypeAlias = tuple[str, str]
"""An asset and one of its columns."""

_VECTOR: Column = ("candidate_embeddings", "vector")
_TARGET_VECTOR: Column = ("target_embeddings", "vector")
_SCORE: Column = ("candidate_scores", "score")
_PULL: Column = ("ot_potentials", "g")


@dataclasses.dataclass(frozen=True)
class _Table:
    """The table that stands for an asset: its first file that fits `pattern`, and what its columns are.

    Attributes:
        pattern: of file names.
        columns: description of every column there may be.
        origins: columns of other assets that a column is made of.
        carried: asset whose further columns come along unchanged.
    """

    pattern: str
    columns: Mapping[str, str]
    origins: Mapping[str, Sequence[Column]] = dataclasses.field(default_factory=dict)
    carried: str | None = None


_DOCUMENT = {
    "doc_id": "128-bit BLAKE2b of the cleaned text, as 32 hex digits: equal texts are one document.",
    "text": "The cleaned text, cut or joined as `preparation` says.",
    "source": "Name of the source or target that it was read from.",
    "origin": "File and record, relative to the project's folder: data/part-0.jsonl:17.",
    "original_id": "The record's own id, if it had one.",
    "n_chars": "Length of the text in characters.",
}
_EMBEDDING = {"doc_id": "Document.", "vector": "Its sentence vector; the type says how many numbers of which kind."}
_METHOD_ORIGINS: Mapping[str, Sequence[Column]] = {
    "gotd": [_SCORE],
    "gotd-away": [_SCORE],
    "gotd-debiased": [_VECTOR, _PULL],
    "gotd-toward-and-away": [_SCORE],
    "gotd-rounds": [_VECTOR, _PULL],
    "gotd-round-robin": [_SCORE],
    "dapt": [("domain_relevance", "distance")],
    "tapt-c": [_VECTOR, _TARGET_VECTOR],
    "dsir": [("raw_candidates", "text"), ("target_documents", "text")],
    "tsds": [_VECTOR, _TARGET_VECTOR],
    "rtp": [("raw_candidates", "text")],
}
_TABLES: Mapping[str, _Table] = {
    "raw_candidates": _Table("documents-*.parquet", _DOCUMENT),
    "target_documents": _Table("train/documents-*.parquet", _DOCUMENT),
    "candidate_embeddings": _Table(
        "vectors-*.npy",
        _EMBEDDING,
        {"doc_id": [("raw_candidates", "doc_id")], "vector": [("raw_candidates", "text")]},
    ),
    "target_embeddings": _Table(
        "vectors-*.npy",
        _EMBEDDING,
        {"doc_id": [("target_documents", "doc_id")], "vector": [("target_documents", "text")]},
    ),
    "candidate_pool": _Table(
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
    "domain_relevance": _Table(
        "sources.parquet",
        {
            "source": "Source of candidates.",
            "distance": "Optimal transport cost between a sample of the source and the target's sketch.",
            "gap": "How far the cost may be from the optimum.",
            "sampled": "Documents in the sample.",
            "candidates": "Documents of the source in the pool.",
        },
        {
            "source": [("raw_candidates", "source")],
            "distance": [_VECTOR, ("target_sketch", "points"), ("target_sketch", "weights")],
            "gap": [_VECTOR, ("target_sketch", "points"), ("target_sketch", "weights")],
            "candidates": [("candidate_embeddings", "doc_id"), ("candidate_pool", "doc_id")],
        },
    ),
    "target_sketch": _Table(
        "sketch.safetensors",
        {"points": "Points that stand for the target.", "weights": "What each stands for; they sum to 1."},
        {"points": [_TARGET_VECTOR], "weights": [_TARGET_VECTOR]},
    ),
    "ot_potentials": _Table(
        "potentials.safetensors",
        {
            "g": "Optimal dual potential, one number per point of the sketch.",
            "points": "Points of the sketch.",
            "weights": "Their weights.",
            "f": "Dual potential of every candidate that was solved for, in the pool's order.",
            "column": "What each point of the sketch is served of the pool's mass.",
            "self_g": "Potential of the pool against itself, for debiased scores.",
            "self_points": "Sample of the pool that it belongs to.",
            "self_weights": "Their weights.",
        },
        {
            "g": [_VECTOR, ("target_sketch", "points"), ("target_sketch", "weights"), ("candidate_pool", "doc_id")],
            "f": [_VECTOR, ("ot_potentials", "g")],
            "column": [_VECTOR, ("ot_potentials", "g")],
            "points": [("target_sketch", "points")],
            "weights": [("target_sketch", "weights")],
            "self_g": [_VECTOR],
            "self_points": [_VECTOR],
        },
    ),
    "candidate_scores": _Table(
        "scores.parquet",
        {
            "doc_id": "Candidate.",
            "source": "Source it stands in.",
            "score": "Calibrated gradient of the transport cost: negative if more of it brings the pool closer.",
        },
        {
            "doc_id": [("candidate_embeddings", "doc_id")],
            "source": [("raw_candidates", "source")],
            "score": [_VECTOR, _PULL, ("ot_potentials", "points"), ("ot_potentials", "weights")],
        },
    ),
    "selected_subset": _Table(
        "subset.parquet",
        {
            **_DOCUMENT,
            "rank": "Place in the selection; 1 is best.",
            "score": "What the method ranked by; lower is better.",
            "reason": "Why the method took it, in a few words.",
            "step": "Step of the method in which it was taken.",
            "nearest_target": "doc_id of the target document nearest to it.",
            "nearest_target_text": "Text of that document.",
            "nearest_target_similarity": "Cosine similarity of the two.",
        },
        {
            "nearest_target": [("target_documents", "doc_id"), _VECTOR, _TARGET_VECTOR],
            "nearest_target_text": [("target_documents", "text")],
            "nearest_target_similarity": [_VECTOR, _TARGET_VECTOR],
        },
        carried="raw_candidates",
    ),
}


def described(artifact: Artifact, prefix: Sequence[str] = ()) -> dict[str, Any]:
    """Schema and column lineage of `artifact` as Dagster's metadata; nothing for assets without a table.

    `prefix` stands before the names of assets in their keys.
    """
    asset = artifact.key.asset
    table = _TABLES.get(asset)
    paths = sorted(artifact.path.glob(table.pattern)) if table is not None else []
    if table is None or not paths:
        return {}
    types = _types(str(paths[0]))
    columns = [
        dg.TableColumn(
            name, kind, description=table.columns.get(name, f"Field {name!r} of the record, kept as it was.")
        )
        for name, kind in types.items()
    ]
    shown: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns=columns)}
    origins = _origins(artifact, table, list(types))
    if origins:
        shown["dagster/column_lineage"] = dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(dg.AssetKey([*prefix, before]), name) for before, name in found]
                for column, found in origins.items()
            }
        )
    return shown


def _origins(artifact: Artifact, table: _Table, columns: Sequence[str]) -> dict[str, Sequence[Column]]:
    origins = {column: table.origins[column] for column in columns if column in table.origins}
    if table.carried is not None:
        known = table.columns.keys() - _DOCUMENT.keys()
        origins |= {column: [(table.carried, column)] for column in columns if column not in known}
    ranked_by = _METHOD_ORIGINS.get(str(artifact.manifest.parameters.get("method")))
    if ranked_by is not None:
        origins |= {column: ranked_by for column in ("rank", "score") if column in columns}
    return origins


def _types(path: str) -> dict[str, str]:
    if path.endswith(".parquet"):
        return {name: str(kind) for name, kind in pl.read_parquet_schema(path).items()}
    if path.endswith(".npy"):
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        return {"doc_id": "String", "vector": f"{vectors.dtype}[{vectors.shape[1]}]"}
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in sorted(file.keys())}
        return {name: f"{part.get_dtype()}{part.get_shape()[1:] or ''}" for name, part in slices.items()}
