"""The same text twice: across sources, nearly, or in the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from gotd_assets.corpus.documents import iter_documents

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings import DuplicateSettings

_PERMUTATIONS = 128
_SHINGLE_WORDS = 3
_CONTAMINATED = "duplicates target or held-out text"
_SCHEMA = {
    "doc_id": pl.String,
    "source": pl.String,
    "matched_doc_id": pl.String,
    "matched_source": pl.String,
    "kind": pl.String,
    "similarity": pl.Float64,
}


@dataclasses.dataclass(frozen=True)
class DuplicateReport:
    """Documents that leave the pool because an equal (`exact`) or nearly equal (`near`) one stays; `documents` in all."""

    documents: int
    exact: int
    near: int

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for manifests."""
        return {**dataclasses.asdict(self), "in_pool": self.documents - self.exact - self.near}


@dataclasses.dataclass(frozen=True)
class ContaminationReport:
    """Candidates that duplicate reference text."""

    found: int


def find_duplicates(
    documents: Mapping[str, Path],
    settings: DuplicateSettings,
    out: Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> DuplicateReport:
    """Write to `out` (Parquet) the documents that duplicate one earlier in the order of `documents` (source to folder).

    Exact duplicates share their doc_id. Near-duplicates share at least `settings.jaccard` of their word shingles, found
    by MinHash and locality-sensitive hashing (Broder 1997; Indyk & Motwani 1998) and confirmed on the signatures. What
    matched stays: a duplicate is always matched to a document that is kept.
    """
    index = _NearIndex(settings.jaccard)
    first_source: dict[str, str] = {}
    rows: list[tuple[str, str, str, str, str, float]] = []
    total = 0
    for source, folder in documents.items():
        for frame in iter_documents(folder, ["doc_id", "text"]):
            total += frame.height
            seen = [first_source.get(doc_id) for doc_id in frame.get_column("doc_id").to_list()]
            known = pl.Series(seen, dtype=pl.String)
            rows.extend(
                (doc_id, source, doc_id, before, "exact", 1.0)
                for doc_id, before in zip(frame.get_column("doc_id").to_list(), seen, strict=True)
                if before is not None
            )
            fresh = frame.filter(known.is_null())
            first_source.update(dict.fromkeys(fresh.get_column("doc_id").to_list(), source))
            if settings.near:
                for doc_id, matched, similarity in index.add(fresh):
                    rows.append((doc_id, source, matched, first_source[matched], "near", similarity))
            if progress is not None:
                progress(f"duplicates: {total:,} documents compared, {len(rows):,} duplicates")
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    frame.write_parquet(out)
    exact = int((frame.get_column("kind") == "exact").sum())
    return DuplicateReport(total, exact, frame.height - exact)


def find_contamination(
    documents: Mapping[str, Path],
    references: Sequence[Path],
    settings: DuplicateSettings,
    out: Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> ContaminationReport:
    """Write to `out` (Parquet) the documents that duplicate, exactly or nearly, a document of the `references` folders."""
    schema = {
        "doc_id": pl.String,
        "reason": pl.String,
        "matched_doc_id": pl.String,
        "kind": pl.String,
        "similarity": pl.Float64,
    }
    rows: dict[str, tuple[str, str, str, str, float]] = {}
    if settings.contamination:
        index = _NearIndex(settings.jaccard)
        exact: set[str] = set()
        for folder in references:
            for frame in iter_documents(folder, ["doc_id", "text"]):
                exact.update(frame.get_column("doc_id").to_list())
                index.insert(frame)
        for source, folder in documents.items():
            for frame in iter_documents(folder, ["doc_id", "text"]):
                found = [
                    (doc_id, doc_id, "exact", 1.0) for doc_id in frame.get_column("doc_id").to_list() if doc_id in exact
                ]
                if settings.near:
                    found += [
                        (doc_id, matched, "near", similarity) for doc_id, matched, similarity in index.query(frame)
                    ]
                for doc_id, *match in found:
                    rows.setdefault(doc_id, (doc_id, _CONTAMINATED, *match))
            if progress is not None:
                progress(f"contamination: {source} compared, {len(rows):,} found")
    pl.DataFrame(list(rows.values()), schema=schema, orient="row").write_parquet(out)
    return ContaminationReport(len(rows))


class _NearIndex:
    """Signatures of kept documents, found again through the bands they share."""

    def __init__(self, jaccard: float) -> None:
        self._jaccard = jaccard
        self._bands, self._rows = _band_shape(jaccard)
        self._buckets: list[dict[bytes, int]] = [{} for _ in range(self._bands)]
        self._signatures: list[npt.NDArray[np.uint32]] = []
        self._ids: list[str] = []

    def add(self, frame: pl.DataFrame) -> Iterator[tuple[str, str, float]]:
        """Insert every document unless it is near one inserted before; yield (doc_id, matched doc_id, similarity)."""
        for doc_id, signature, keys in self._signed(frame):
            match = self._match(signature, keys)
            if match is None:
                self._insert(doc_id, signature, keys)
            else:
                yield doc_id, *match

    def insert(self, frame: pl.DataFrame) -> None:
        """Insert every document."""
        for doc_id, signature, keys in self._signed(frame):
            self._insert(doc_id, signature, keys)

    def query(self, frame: pl.DataFrame) -> Iterator[tuple[str, str, float]]:
        """Yield (doc_id, matched doc_id, similarity) for documents near an inserted one."""
        for doc_id, signature, keys in self._signed(frame):
            match = self._match(signature, keys)
            if match is not None:
                yield doc_id, *match

    def _signed(self, frame: pl.DataFrame) -> Iterator[tuple[str, npt.NDArray[np.uint32], list[bytes]]]:
        signatures = minhash_signatures(frame.get_column("text"))
        width = self._rows * 4
        for doc_id, signature in zip(frame.get_column("doc_id").to_list(), signatures, strict=True):
            content = signature.tobytes()
            yield doc_id, signature, [content[i * width : (i + 1) * width] for i in range(self._bands)]

    def _match(self, signature: npt.NDArray[np.uint32], keys: list[bytes]) -> tuple[str, float] | None:
        candidates = {bucket[key] for bucket, key in zip(self._buckets, keys, strict=True) if key in bucket}
        best = max(((float((self._signatures[i] == signature).mean()), -i) for i in candidates), default=(0.0, 0))
        return (self._ids[-best[1]], best[0]) if best[0] >= self._jaccard else None

    def _insert(self, doc_id: str, signature: npt.NDArray[np.uint32], keys: list[bytes]) -> None:
        position = len(self._ids)
        self._ids.append(doc_id)
        self._signatures.append(signature)
        for bucket, key in zip(self._buckets, keys, strict=True):
            bucket.setdefault(key, position)


def minhash_signatures(texts: pl.Series) -> npt.NDArray[np.uint32]:
    """MinHash signatures (n, 128) of the sets of lower-case word shingles of `texts`; fixed seed."""
    from datasketch import MinHash

    words = texts.str.to_lowercase().str.extract_all(r"\w+").to_list()
    sets = [
        {" ".join(text[i : i + _SHINGLE_WORDS]).encode() for i in range(max(1, len(text) - _SHINGLE_WORDS + 1))}
        for text in words
    ]
    hashes = MinHash.bulk(sets, num_perm=_PERMUTATIONS, seed=1)
    return np.array([entry.hashvalues for entry in hashes], dtype=np.uint32).reshape(len(sets), _PERMUTATIONS)


def _band_shape(jaccard: float) -> tuple[int, int]:
    """Bands × rows whose threshold (1/bands)^(1/rows) is nearest below `jaccard`, so that few pairs are missed."""
    shapes = [(_PERMUTATIONS // rows, rows) for rows in (1, 2, 4, 8, 16, 32)]
    fitting = [shape for shape in shapes if (1 / shape[0]) ** (1 / shape[1]) <= max(jaccard - 0.1, 0.05)]
    return max(fitting or shapes[:1], key=lambda shape: shape[1])
