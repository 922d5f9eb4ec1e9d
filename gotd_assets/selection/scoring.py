"""Scores of every candidate, and the worth of a selection, from solved potentials."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from gotd_assets.execution.engine import mapped
from gotd_assets.execution.processes import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from gotd_assets.execution.engine import Engine
    from gotd_assets.fingerprint import Json
    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.transport import Potentials

_SCHEMA = pa.schema([("doc_id", pa.string()), ("source", pa.string()), ("score", pa.float64())])


@dataclasses.dataclass(frozen=True)
class ScoreSummary:
    """Figures of a scored pool; a negative score means that adding mass there brings the pool closer to the target."""

    candidates: int
    negative: int
    lowest: float
    median: float
    highest: float

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for manifests."""
        return dict(dataclasses.asdict(self))


def write_scores(
    pool: Pool,
    potentials: Potentials,
    path: Path,
    *,
    engine: Engine | None = None,
    progress: Callable[[str], None] | None = None,
) -> ScoreSummary:
    """Write doc_id, source and score (calibrated gradient, float64) of every candidate of `pool` to Parquet at `path`.

    By this process, whose operations use all processors or the GPU, or by the workers of an `engine` elsewhere; no more
    than a few shards are in memory.
    """
    done = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for frame in scored_shards(pool, potentials, engine):
            writer.write_table(frame.to_arrow().cast(_SCHEMA))
            done += frame.height
            if progress is not None:
                progress(f"scored {done:,} of {pool.n_rows:,} candidates")
    return _summary(path)


def scored_shards(pool: Pool, potentials: Potentials, engine: Engine | None = None) -> Iterator[pl.DataFrame]:
    """doc_id, source and score (float64) of every candidate, shard by shard in the pool's order."""
    engine = LocalEngine(1) if engine is None or engine.is_local else engine
    bare = dataclasses.replace(potentials, f=None, column=None)
    for _, frame in mapped(engine, ShardScorer(pool, bare), range(len(pool)), name="score", workers=len(pool)):
        yield frame


class ShardScorer:
    """Scores the shards of a pool by their number."""

    def __init__(self, pool: Pool, potentials: Potentials) -> None:
        self._pool, self._potentials = pool, potentials

    def __call__(self, number: int) -> pl.DataFrame:
        """doc_id, source and score of every candidate of one shard."""
        shard = self._pool[number]
        scores = self._potentials.scores(shard.vectors).double().cpu().numpy()
        return pl.DataFrame({"doc_id": shard.doc_ids, "source": shard.source, "score": scores})


def _summary(path: Path) -> ScoreSummary:
    """Read row group by row group: never are all scores in one place."""
    groups = list(_row_groups(path))
    count = sum(rows for rows, *_ in groups)
    middle = order_statistics(lambda: _columns(path), [(count - 1) // 2, count // 2])
    return ScoreSummary(
        candidates=count,
        negative=sum(negative for _, negative, _, _ in groups),
        lowest=min(lowest for *_, lowest, _ in groups),
        median=float(np.mean(middle)),
        highest=max(highest for *_, highest in groups),
    )


def _row_groups(path: Path) -> Iterator[tuple[int, int, float, float]]:
    """Rows, negative ones, lowest and highest of each."""
    for score in _columns(path):
        yield len(score), int((score < 0).sum()), float(score.min()), float(score.max())


def _columns(path: Path) -> Iterator[npt.NDArray[np.float64]]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=["score"]).column("score").to_numpy()


def order_statistics(
    parts: Callable[[], Iterator[npt.NDArray[np.float64]]], places: Sequence[int]
) -> npt.NDArray[np.float64]:
    """The values at `places` of all numbers in ascending order, by histograms of their bits: exact, part after part.

    `parts` is called once for every 16 bits; none of the numbers is NaN.
    """
    found = np.zeros(len(places), dtype=np.uint64)
    left = np.array(places, dtype=np.int64)
    for shift in (48, 32, 16, 0):
        prefixes = sorted(set(found.tolist()))
        counts = {prefix: np.zeros(2**16, dtype=np.int64) for prefix in prefixes}
        for part in parts():
            keys = _ordered_bits(part)
            above = keys >> np.uint64(shift + 16) if shift < 48 else np.zeros_like(keys)
            digits = (keys >> np.uint64(shift)) & np.uint64(0xFFFF)
            for prefix in prefixes:
                own = digits[above == np.uint64(prefix)].astype(np.int64)
                counts[prefix] += np.bincount(own, minlength=2**16)
        for number, prefix in enumerate(found.tolist()):
            cumulative = np.cumsum(counts[prefix])
            digit = int(np.searchsorted(cumulative, left[number], side="right"))
            left[number] -= int(cumulative[digit - 1]) if digit else 0
            found[number] = np.uint64((prefix << 16) | digit)
    sign = np.uint64(1) << np.uint64(63)
    bits = np.where(found & sign, found ^ sign, ~found)
    return bits.view(np.float64)


def _ordered_bits(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Numbers as unsigned integers in the same order."""
    bits = np.ascontiguousarray(values + 0.0, dtype=np.float64).view(np.uint64)
    sign = np.uint64(1) << np.uint64(63)
    return np.where(bits & sign, ~bits, bits | sign)
