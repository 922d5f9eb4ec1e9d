"""Documents that leave the pool: those that another source has too, and near-duplicates."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.artifacts.digests import DIGEST_BYTES, digests_of
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.duplicates.equal_keys import EqualKeys, words_of_bytes, words_of_numbers, write_keys
from gotd_assets.corpus.duplicates.found import Found, examples
from gotd_assets.corpus.duplicates.near import band_keys, bands
from gotd_assets.corpus.duplicates.rows import DocumentRows
from gotd_assets.corpus.duplicates.shingles import jaccard, shingles
from gotd_assets.corpus.report import ProgressMeter
from gotd_assets.execution.engine import Engine, mapped
from gotd_assets.execution.processes import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from gotd_assets.corpus.shards import DocumentShard
    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.texts import DuplicateSettings

    Rows = npt.NDArray[np.int64]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# Starting a worker takes about as long as sorting so many keys.
_KEYS_PER_PROCESS = 2**24
# Text whose shingles are held at a time, which takes a little more memory than the text.
_HELD_BYTES = 128 * 2**20


@dataclasses.dataclass(frozen=True)
class DuplicateReport:
    """How many documents leave the pool as duplicates, by kind and source, with a few examples."""

    documents: dict[str, int]
    exact: dict[str, int]
    near: dict[str, int]
    examples: list[dict[str, Json]]

    def as_summary(self) -> dict[str, Json]:
        """The counts as JSON; `rate` is the share of each source's documents that leave."""
        rate = {
            source: (self.exact.get(source, 0) + self.near.get(source, 0)) / count if count else 0.0
            for source, count in self.documents.items()
        }
        return {
            "documents": sum(self.documents.values()),
            "exact": sum(self.exact.values()),
            "near": sum(self.near.values()),
            "documents_by_source": self.documents,
            "exact_by_source": self.exact,
            "near_by_source": self.near,
            "rate_by_source": rate,
            "examples": self.examples,
        }


def find_duplicates(
    documents: Mapping[str, Path],
    settings: DuplicateSettings,
    out: Path,
    *,
    progress: Callable[[object], None] | None = None,
    engine: Engine | None = None,
) -> DuplicateReport:
    """Write to the Parquet file `out` which documents leave the pool, and for which kept one.

    `documents` maps each source, in declared order, to its folder of shards. Of equal or similar texts the first in
    that order stays. Columns: doc_id, source (who leaves), matched_doc_id, matched_source (who stays), kind ('exact' or
    'near'), similarity (1.0 or the Jaccard similarity of shingles). A document leaves at most once.

    Held in memory is what was found, and a range of keys; the keys of all documents lie in files beside `out` meanwhile.

    Raises:
        InputError: a folder holds no shard.
    """
    import polars as pl

    pool = DocumentRows.open(documents, engine)
    meter = ProgressMeter("duplicates", pool.size, progress)
    with replaced(out) as partial:
        exact = _exact_duplicates(pool, partial.with_name("ids"))
        near = Found.of([])
        if settings.near:
            near = _near_duplicates(pool, exact.rows, settings.jaccard, partial.with_name("bands"), meter)
        meter.update(len(pool), pool.size, final=True)
        result = pl.concat([exact.named(pool, pool, "exact"), near.named(pool, pool, "near")])
        result.write_parquet(partial)
    return DuplicateReport(
        documents=pool.counts(),
        exact=pool.count(result.filter(pl.col("kind") == "exact")),
        near=pool.count(result.filter(pl.col("kind") == "near")),
        examples=examples(result, exact + near, pool, pool),
    )


def _exact_duplicates(pool: DocumentRows, scratch: Path) -> Found:
    """Rows whose doc_id an earlier one has, with the first that has it."""
    for _ in _mapped_keys(pool, functools.partial(_write_ids, scratch), pool.shards, len(pool), "doc_ids"):
        pass
    parts = [np.empty((3, 0), np.int64), *_equal_keys(pool, scratch, 1, "exact duplicates")]
    rows, first, _ = np.concatenate(parts, axis=1)
    order = np.argsort(rows)
    return Found(rows[order], first[order], np.ones(len(rows)))


def _write_ids(scratch: Path, shard: DocumentShard) -> None:
    doc_ids = read_parquet(shard.path, columns=["doc_id"]).get_column("doc_id")
    words = words_of_bytes(digests_of(doc_ids.to_list()).view(np.uint8).reshape(-1, DIGEST_BYTES))
    write_keys(_key_file(scratch, shard), words, np.arange(shard.rows))


def _near_duplicates(
    pool: DocumentRows, repeated: Rows, threshold: float, scratch: Path, meter: ProgressMeter
) -> Found:
    """Rows that are similar to an earlier one that stays; those `repeated` (ascending) neither leave nor stay."""
    done = 0
    for shard, _ in pool.mapped(functools.partial(_write_band_keys, threshold, scratch, repeated), "near-duplicates"):
        done += shard.size
        meter.update(shard.stop, done)
    pairs = _candidate_pairs(pool, scratch, threshold)
    found: list[tuple[int, int, float]] = []
    left: set[int] = set()
    costs = pool.sizes(pairs[:, 0]) + pool.sizes(pairs[:, 1])
    for chunk in np.split(pairs, np.flatnonzero(np.diff(costs.cumsum() // _HELD_BYTES)) + 1):
        held = _shingles_of(pool, np.unique(chunk))
        for later, earlier in chunk.tolist():
            if later not in left and earlier not in left:
                similarity = jaccard(held[later], held[earlier])
                if similarity >= threshold:
                    left.add(later)
                    found.append((later, earlier, similarity))
    return Found.of(found)


def _write_band_keys(threshold: float, scratch: Path, repeated: Rows, shard: DocumentShard) -> None:
    begin, end = np.searchsorted(repeated, [shard.first, shard.stop])
    rows = np.delete(np.arange(shard.rows), repeated[begin:end] - shard.first)
    texts = read_parquet(shard.path, columns=["text"]).get_column("text").gather(rows)
    write_keys(_key_file(scratch, shard), words_of_numbers(band_keys(texts, threshold)), rows)


def _candidate_pairs(pool: DocumentRows, scratch: Path, threshold: float) -> npt.NDArray[np.int64]:
    """Distinct pairs (later, earlier) of rows that share a band, ascending, shape (n, 2).

    Of the rows that share a band, each is paired with the first and with the one before it.
    """
    found, waiting = np.empty(0, dtype=np.int64), [np.empty(0, dtype=np.int64)]
    for repeats, first, before in _equal_keys(pool, scratch, bands(threshold), "near-duplicates"):
        # One number per pair sorts as the pair does.
        waiting += [repeats << 32 | first, repeats << 32 | before]
        if sum(map(len, waiting)) > len(found):
            # Most pairs share several bands.
            found = np.unique(np.concatenate([found, *waiting]))
            waiting = [np.empty(0, dtype=np.int64)]
    found = np.unique(np.concatenate([found, *waiting]))
    return np.stack([found >> 32, found & 0xFFFFFFFF], axis=1)


def _mapped_keys(
    pool: DocumentRows, function: Callable[[_Item], _Result], items: Sequence[_Item], keys: int, name: str
) -> Iterator[tuple[_Item, _Result]]:
    """As `mapped`, for work that goes by the number of `keys`: by this process alone if starting others takes longer."""
    workers = 1 + keys // _KEYS_PER_PROCESS
    return mapped(pool.engine if workers > 1 else LocalEngine(1), function, items, name=name, workers=workers)


def _key_file(scratch: Path, shard: DocumentShard) -> Path:
    return scratch / f"keys-{shard.first:012}-{shard.rows}.npy"


def _equal_keys(pool: DocumentRows, scratch: Path, sets: int, name: str) -> Iterator[Rows]:
    """What `EqualKeys` finds in one range of a set after another; then the files in `scratch` go."""
    files = [_key_file(scratch, shard) for shard in pool.shards]
    search = EqualKeys.among(files, [shard.first for shard in pool.shards], len(pool))
    for _, found in _mapped_keys(pool, search, search.parts(sets), sets * len(pool), name):
        yield found
    shutil.rmtree(scratch, ignore_errors=True)


def _shingles_of(pool: DocumentRows, rows: Rows) -> dict[int, npt.NDArray[np.uint64]]:
    held: dict[int, npt.NDArray[np.uint64]] = {}
    for of_shard, texts in pool.values("text", rows):
        place = iter(of_shard.tolist())
        for part in shingles(texts):
            held.update((next(place), part.of(text)) for text in range(len(part)))
    return held
