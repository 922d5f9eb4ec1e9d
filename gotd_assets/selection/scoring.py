"""Scores of every candidate, and the worth of a selection, from solved potentials."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from gotd_assets.artifacts.parquet import scan_parquet

if TYPE_CHECKING:
    from collections.abc import Callable

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
    pool: Pool, potentials: Potentials, path: Path, *, progress: Callable[[str], None] | None = None
) -> ScoreSummary:
    """Write doc_id, source and score (calibrated gradient, float64) of every candidate of `pool` to Parquet at `path`."""
    done = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for shard in pool:
            scores = potentials.scores(shard.vectors).double().cpu().numpy()
            frame = pl.DataFrame({"doc_id": shard.doc_ids, "source": shard.source, "score": scores})
            writer.write_table(frame.to_arrow().cast(_SCHEMA))
            done += len(scores)
            if progress is not None:
                progress(f"scored {done:,} of {pool.n_rows:,} candidates")
    score = scan_parquet(path).select("score").collect().get_column("score").to_numpy()
    return ScoreSummary(
        candidates=len(score),
        negative=int((score < 0).sum()),
        lowest=float(score.min()),
        median=float(np.median(score)),
        highest=float(score.max()),
    )
