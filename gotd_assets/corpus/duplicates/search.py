"""Documents that leave the pool: those that another source has too, near-duplicates, and the target's own texts."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.corpus.duplicates.near import band_keys, bands, candidate_pairs
from gotd_assets.corpus.duplicates.shingles import ShingleIndex, jaccard, shingles
from gotd_assets.corpus.report import ProgressMeter
from gotd_assets.corpus.shards import DocumentShard, document_shards
from gotd_assets.execution.engine import Engine, mapped
from gotd_assets.execution.processes import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import polars as pl

    from gotd_assets.fingerprint import Json
    from gotd_assets.settings.texts import DuplicateSettings

    Rows = npt.NDArray[np.int64]
    Found = list[tuple[int, int, float]]
    """(row, row it is similar to, similarity)."""

_Result = TypeVar("_Result")
_EXAMPLES = 5
_EXCERPT = 160
# Starting a process takes about as long as going through this much text.
_BYTES_PER_PROCESS = 24 * 2**20
# Text whose shingles are held at a time, which takes a little more memory than the text.
_HELD_BYTES = 128 * 2**20
_INDEXED_BYTES = 32 * 2**20


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


@dataclasses.dataclass(frozen=True)
class ContaminationReport:
    """How many candidates are texts of the target (`found`), by kind and source, with a few examples."""

    found: int
    exact: int
    near: int
    documents: int
    by_source: dict[str, int]
    examples: list[dict[str, Json]]

    def as_summary(self) -> dict[str, Json]:
        """The counts as JSON."""
        return dataclasses.asdict(self)


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

    Raises:
        InputError: a folder holds no shard.
    """
    import polars as pl

    pool = _Pool.open(documents, engine)
    meter = ProgressMeter("duplicates", pool.size, progress)
    first = pool.frame.with_row_index("row").select(pl.col("row").first().over("doc_id")).to_series().to_numpy()
    repeated = np.flatnonzero(first != np.arange(pool.frame.height))
    exact = [(row, int(first[row]), 1.0) for row in repeated.tolist()]
    near = _near_duplicates(pool, repeated, settings.jaccard, meter) if settings.near else []
    meter.update(pool.frame.height, pool.size, final=True)
    result = pl.concat([_named(exact, pool, pool, "exact"), _named(near, pool, pool, "near")])
    result.write_parquet(out)
    return DuplicateReport(
        documents=pool.count(pool.frame),
        exact=pool.count(result.filter(pl.col("kind") == "exact")),
        near=pool.count(result.filter(pl.col("kind") == "near")),
        examples=_examples(result, [*exact, *near], pool, pool),
    )


def find_contamination(
    documents: Mapping[str, Path],
    references: Sequence[Path],
    settings: DuplicateSettings,
    out: Path,
    *,
    progress: Callable[[object], None] | None = None,
    engine: Engine | None = None,
) -> ContaminationReport:
    """Write to the Parquet file `out` which candidates are, exactly or nearly, texts of the `references`.

    `references` are folders of shards (a target's train and held-out side), possibly without rows. Columns: doc_id,
    source (the first that has it), reason ('target'), matched_doc_id (the most similar reference), kind, similarity;
    one row per doc_id. No near-duplicate is missed. The file has no row if `settings.contamination` is off.

    Raises:
        InputError: a folder holds no shard.
    """
    import polars as pl

    pool = _Pool.open(documents if settings.contamination else {}, engine)
    known = _Pool.open({str(path): path for path in references} if settings.contamination else {}, engine)
    meter = ProgressMeter("contamination", pool.size, progress)
    unique = pool.frame.with_row_index("row").unique("doc_id", keep="first", maintain_order=True)
    first = known.frame.with_row_index("matched").unique("doc_id", keep="first", maintain_order=True)
    hits = unique.join(first, on="doc_id", how="inner", maintain_order="left")
    exact = [(row, matched, 1.0) for row, matched in hits.select("row", "matched").iter_rows()]
    best: dict[str, tuple[int, int, float]] = {}
    same = set(hits.get_column("doc_id"))
    for row, matched, similarity in _near_references(pool, known, settings.jaccard, meter) if settings.near else []:
        doc_id = pool.frame.item(row, "doc_id")
        if doc_id not in same and (doc_id not in best or _is_better((row, matched, similarity), best[doc_id])):
            best[doc_id] = row, matched, similarity
    near = sorted(best.values())
    meter.update(pool.frame.height, pool.size, final=True)
    result = pl.concat([_named(exact, pool, known, "exact"), _named(near, pool, known, "near")])
    result.select(
        "doc_id", "source", pl.lit("target").alias("reason"), "matched_doc_id", "kind", "similarity"
    ).write_parquet(out)
    return ContaminationReport(
        found=result.height,
        exact=len(exact),
        near=len(near),
        documents=pool.frame.height,
        by_source=pool.count(result),
        examples=_examples(result, [*exact, *near], pool, known),
    )


@dataclasses.dataclass
class _Pool:
    """Documents by row, counted through all shards.

    Attributes:
        frame: doc_id, source; in declared order.
        shards: where they are.
        sources: their names.
        engine: goes through them.
    """

    frame: pl.DataFrame
    shards: list[DocumentShard]
    sources: list[str]
    engine: Engine

    @classmethod
    def open(cls, folders: Mapping[str, Path], engine: Engine | None) -> _Pool:
        """The documents of `folders`, by source.

        Raises:
            InputError: a folder holds no shard.
        """
        import polars as pl

        frames = [pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String})]
        shards: list[DocumentShard] = []
        for source, folder in folders.items():
            for shard in document_shards(folder, shards[-1].stop if shards else 0):
                shards.append(shard)
                frames.append(read_parquet(shard.path, columns=["doc_id"]).with_columns(source=pl.lit(source)))
        return cls(pl.concat(frames), shards, list(folders), engine or LocalEngine())

    @property
    def size(self) -> int:
        """Bytes of all shards, unpacked."""
        return sum(shard.size for shard in self.shards)

    def mapped(
        self, function: Callable[[DocumentShard], _Result], name: str
    ) -> Iterator[tuple[DocumentShard, _Result]]:
        """Every shard with `function(shard)`, in order, by as many workers as it pays to have."""
        return mapped(self.engine, function, self.shards, name=name, workers=1 + self.size // _BYTES_PER_PROCESS)

    def sizes(self, rows: Rows) -> npt.NDArray[np.float64]:
        """About how many bytes documents at `rows` have: the mean of their shard."""
        means = np.array([shard.size / max(shard.rows, 1) for shard in self.shards])
        stops = np.array([shard.stop for shard in self.shards])
        return means[np.searchsorted(stops, rows, side="right")]

    def texts(self, rows: Rows) -> Iterator[tuple[Rows, pl.Series]]:
        """Texts at the distinct, ascending `rows`, a shard at a time, with their rows."""
        for shard in self.shards:
            begin, end = np.searchsorted(rows, [shard.first, shard.stop])
            if end > begin:
                texts = read_parquet(shard.path, columns=["text"]).get_column("text")
                yield rows[begin:end], texts.gather(rows[begin:end] - shard.first)

    def count(self, rows: pl.DataFrame) -> dict[str, int]:
        """How many of `rows` are of each source."""
        counts = dict(rows.group_by("source").len().iter_rows())
        return {source: counts.get(source, 0) for source in self.sources}


def _near_duplicates(pool: _Pool, repeated: Rows, threshold: float, meter: ProgressMeter) -> Found:
    """Rows that are similar to an earlier one that stays; those `repeated` neither leave nor stay."""
    keys = np.empty((pool.frame.height, bands(threshold)), dtype=np.uint64)
    done = 0
    for shard, of_shard in pool.mapped(functools.partial(_keys, threshold), "near-duplicates"):
        keys[shard.first : shard.stop] = of_shard
        done += shard.size
        meter.update(shard.stop, done)
    index = np.delete(np.arange(pool.frame.height), repeated)
    pairs = index[candidate_pairs(np.delete(keys, repeated, axis=0) if len(repeated) else keys)]
    del keys
    found: Found = []
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
    return found


def _keys(threshold: float, shard: DocumentShard) -> npt.NDArray[np.uint64]:

    return band_keys(read_parquet(shard.path, columns=["text"]).get_column("text"), threshold)


def _shingles_of(pool: _Pool, rows: Rows) -> dict[int, npt.NDArray[np.uint64]]:
    held: dict[int, npt.NDArray[np.uint64]] = {}
    for of_shard, texts in pool.texts(rows):
        place = iter(of_shard.tolist())
        for part in shingles(texts):
            held.update((next(place), part.of(text)) for text in range(len(part)))
    return held


def _near_references(
    pool: _Pool, known: _Pool, threshold: float, meter: ProgressMeter
) -> Iterator[tuple[int, int, float]]:
    """Every (row of `pool`, row of `known`, similarity) that reaches the threshold.

    The shingles of the smaller side are held, so much of it at a time; the other streams by, once for each time.
    """
    is_swapped = pool.size < known.size
    held, streamed = (pool, known) if is_swapped else (known, pool)
    rows = np.arange(held.frame.height)
    times = (
        np.split(rows, np.flatnonzero(np.diff(held.sizes(rows).cumsum() // _INDEXED_BYTES)) + 1) if len(rows) else []
    )
    done = 0
    for time in times:
        index = ShingleIndex([part for _, texts in held.texts(time) for part in shingles(texts)])
        similar = functools.partial(_similar, index, threshold)
        for shard, found in streamed.mapped(similar, "contamination"):
            done += shard.size
            share = done / (streamed.size * len(times))
            meter.update(int(pool.frame.height * share), pool.size * share)
            for row, indexed, similarity in found:
                pair = shard.first + row, int(time[indexed])
                yield (*(pair[::-1] if is_swapped else pair), similarity)


def _similar(index: ShingleIndex, threshold: float, shard: DocumentShard) -> Found:

    found: Found = []
    begin = 0
    for part in shingles(read_parquet(shard.path, columns=["text"]).get_column("text")):
        found += [(begin + text, known, similarity) for text, known, similarity in index.similar(part, threshold)]
        begin += len(part)
    return found


def _is_better(found: tuple[int, int, float], before: tuple[int, int, float]) -> bool:
    """More similar, or as similar to an earlier text."""
    return (-found[2], found[1], found[0]) < (-before[2], before[1], before[0])


def _named(found: Found, pool: _Pool, others: _Pool, kind: str) -> pl.DataFrame:
    import polars as pl

    schema: dict[str, Any] = {"row": pl.Int64, "matched": pl.Int64, "similarity": pl.Float64}
    rows = pl.DataFrame(found, schema=schema, orient="row")
    left = pool.frame.select(pl.all().gather(rows.get_column("row")))
    stays = others.frame.select(pl.all().gather(rows.get_column("matched")).name.prefix("matched_"))
    return pl.concat([left, stays], how="horizontal").with_columns(
        pl.lit(kind).alias("kind"), rows.get_column("similarity")
    )


def _examples(named: pl.DataFrame, found: Found, pool: _Pool, others: _Pool) -> list[dict[str, Json]]:
    import polars as pl

    chosen = named.with_row_index("place").sort(pl.col("kind") == "exact", "similarity", "doc_id").head(_EXAMPLES)
    places = chosen.get_column("place").to_list()
    texts = _texts_of(pool, [found[place][0] for place in places])
    matches = _texts_of(others, [found[place][1] for place in places])
    return [
        {
            **row,
            "text": texts[found[place][0]][:_EXCERPT],
            "matched_text": matches[found[place][1]][:_EXCERPT],
        }
        for place, row in zip(places, chosen.drop("place").iter_rows(named=True), strict=True)
    ]


def _texts_of(pool: _Pool, rows: list[int]) -> dict[int, str]:
    wanted = np.unique(np.array(rows, dtype=np.int64))
    return {
        row: text for of_shard, texts in pool.texts(wanted) for row, text in zip(of_shard.tolist(), texts, strict=True)
    }
