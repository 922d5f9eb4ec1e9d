"""The domain relevance test: how far each source is from a target (Kang et al. 2024, §3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.errors import InputError
from gotd_assets.execution.engine import mapped
from gotd_assets.execution.processes import LocalEngine

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.execution.engine import Engine
    from gotd_assets.selection.pool.pool import Pool
    from gotd_assets.transport import Problem, Sketch


@dataclasses.dataclass(frozen=True)
class SourceDistance:
    """How far one source is from the target.

    Attributes:
        source: its name.
        distance: OT cost between a sample of the source and the target sketch (dual value, in units of the cost).
        gap: how much higher the true value may be.
        sampled: documents in the sample.
        candidates: documents of the source in the pool.
    """

    source: str
    distance: float
    gap: float
    sampled: int
    candidates: int


def source_distances(
    pool: Pool,
    sketch: Sketch,
    problem: Problem,
    *,
    sample: int,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[SourceDistance]:
    """OT distance, by `problem`, of a random `sample` of every source of `pool` to `sketch`, nearest first.

    A source of fewer documents enters whole; one that has none left (all duplicates) is not listed. Ties go by name.
    """
    items = []
    for (source,), rows in pool.doc_ids().with_row_index("row").group_by("source", maintain_order=True):
        draw = np.random.default_rng(seed)
        size = min(sample, rows.height)
        # By doc_id, so that the same documents are drawn wherever they stand.
        drawn = rows.sort("doc_id").get_column("row").to_numpy()[draw.permutation(rows.height)[:size]]
        items.append((str(source), drawn, rows.height))
    here = LocalEngine(1) if engine is None or engine.is_local else engine
    found = []
    for _, entry in mapped(here, _Distance(pool, sketch, problem), items, name="relevance", workers=len(items)):
        found.append(entry)
        if progress is not None:
            progress(f"source {entry.source}: OT distance {entry.distance:.5g} from {entry.sampled:,} documents")
    return sorted(found, key=lambda entry: (entry.distance, entry.source))


class _Distance:
    """The distance of a source, given as its name, rows of the pool and number of candidates."""

    def __init__(self, pool: Pool, sketch: Sketch, problem: Problem) -> None:
        self._pool, self._sketch, self._problem = pool, sketch, problem

    def __call__(self, item: tuple[str, npt.NDArray[np.int64], int]) -> SourceDistance:
        from gotd_assets.transport import solve

        source, rows, candidates = item
        solved = solve(self._pool.take(rows), self._sketch, self._problem).certificate
        return SourceDistance(source, solved.dual_value, solved.gap, len(rows), candidates)


def relevant_sources(distances: Mapping[str, float], nearest: int | None, *, away: bool = False) -> list[str]:
    """The `nearest` sources by OT distance (farthest if `away`), all of them if None.

    Raises:
        InputError: fewer sources than that are known.
    """
    if nearest is None:
        return list(distances)
    if nearest > len(distances):
        raise InputError(
            f"selection.nearest_sources is {nearest}, but only {len(distances)} sources have documents in the pool: "
            "lower it, or leave it out to keep all"
        )
    sign = -1 if away else 1
    return sorted(distances, key=lambda source: (sign * distances[source], source))[:nearest]


def as_frame(distances: list[SourceDistance]) -> pl.DataFrame:
    """One row per source, nearest first."""
    return pl.DataFrame([dataclasses.asdict(entry) for entry in distances])
