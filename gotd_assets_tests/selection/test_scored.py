"""Rankings of which only the beginning is held: the same as by sorting all, whatever the parts, ties and extremes."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.selection import scored as module
from gotd_assets.selection.methods import METHODS, select
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.selection.problem import SelectionProblem
from gotd_assets.selection.scored import Scored, lowest
from gotd_assets.transport import Problem, make_sketch, solve
from gotd_assets_tests.selection.pools import no_duplicates, write_vectors

EXTREMES = [0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, float("inf"), float("-inf"), -1.0, 1.0]


@given(
    scores=st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=60),
    size=st.integers(1, 20),
    count=st.integers(1, 70),
    held=st.integers(0, 5),
)
def test_the_lowest_of_parts_are_those_of_all_with_ties_by_doc_id(
    scores: list[float], size: int, count: int, held: int
) -> None:
    names = [document_id(str(number)) for number in range(len(scores))]
    rows = list(zip(names, scores, strict=True))
    frame = pl.DataFrame(rows, schema={"doc_id": pl.String, "score": pl.Float64}, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_HELD_ROWS", held)
        found = lowest((frame[begin : begin + size] for begin in range(0, len(rows), size)), count)
    assert found.rows() == sorted(rows, key=lambda row: (row[1], row[0]))[:count]


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> SelectionProblem:
    """Three shards of two sources, with equal scores among them, and its scores in a file of three row groups."""
    root = tmp_path_factory.mktemp("scored")
    draw = np.random.default_rng(3)
    folders = {
        "news": write_vectors(root / "news", [f"news {i}" for i in range(300)], draw.standard_normal((300, 4))),
        "web": write_vectors(root / "web", [f"web {i}" for i in range(200)], draw.standard_normal((200, 4))),
    }
    pool = Pool.open(folders, no_duplicates(root))
    target = draw.standard_normal((6, 4)).astype(np.float32)
    potentials = solve(pool.vectors, make_sketch(target, method="all"), Problem(epsilon=0.05, tolerance=1e-3))
    scores = pool.doc_ids().with_columns(score=pl.Series(draw.integers(-5, 5, pool.n_rows).astype(np.float64)))
    bounds = np.cumsum([0, *pool.lengths])
    with pq.ParquetWriter(root / "scores.parquet", scores.to_arrow().schema) as writer:
        for begin, end in itertools.pairwise(bounds):
            writer.write_table(scores[int(begin) : int(end)].to_arrow())
    excluded = pl.DataFrame({"doc_id": [*scores["doc_id"][::9], document_id("nowhere")]})
    everything = Scored(root / "scores.parquet", excluded)
    return SelectionProblem(
        scores=scores.clear(),
        scored=everything,
        pool=pool,
        target=target,
        budget=40,
        seed=5,
        potentials=potentials,
    )


BY_PART = [name for name, method in METHODS.items() if method.by_part]


@pytest.mark.parametrize("budget", [1, 40, "100%", "2%", "until-zero"])
@pytest.mark.parametrize("direction", ["toward", "away"])
@pytest.mark.parametrize("name", BY_PART)
def test_a_method_chooses_the_same_part_by_part(
    problem: SelectionProblem, monkeypatch: pytest.MonkeyPatch, name: str, direction: str, budget: int | str
) -> None:
    monkeypatch.setattr(module, "_HELD_ROWS", 10)
    assert problem.scored is not None
    for sources in (None, ("web",)):
        scored = dataclasses.replace(problem.scored, sources=sources)
        excluded = set(scored.excluded.get_column("doc_id"))
        whole = pl.read_parquet(scored.path).filter(~pl.col("doc_id").is_in(excluded))
        whole = whole if sources is None else whole.filter(pl.col("source") == "web")
        parts = dataclasses.replace(problem, scored=scored, budget=budget, direction=direction)
        at_once = dataclasses.replace(parts, scores=whole, scored=None)
        assert (parts.available, parts.helping) == (whole.height, at_once.helping)
        expected = select(name, at_once)
        assert select(name, parts).equals(expected)
        assert scored.of(expected["doc_id"]).equals(whole.filter(pl.col("doc_id").is_in(set(expected["doc_id"]))))


def test_the_gradient_s_choice_is_a_plain_sort(problem: SelectionProblem) -> None:
    assert problem.scored is not None
    rows = problem.scored.frame().select("score", "doc_id").rows()
    assert select("gotd", problem)["doc_id"].to_list() == [doc_id for _, doc_id in sorted(rows)[:40]]


def test_scores_of_another_pool_are_told(problem: SelectionProblem, tmp_path: Path) -> None:
    assert problem.scored is not None
    other = pl.read_parquet(problem.scored.path).with_columns(pl.col("doc_id").reverse())
    with pq.ParquetWriter(tmp_path / "scores.parquet", other.to_arrow().schema) as writer:
        for begin, size in zip(np.cumsum([0, *problem.pool.lengths]).tolist(), problem.pool.lengths, strict=False):
            writer.write_table(other[begin : begin + size].to_arrow())
    stale = dataclasses.replace(problem.scored, path=tmp_path / "scores.parquet")
    with pytest.raises(InputError, match="of another pool"):
        select("tapt-c", dataclasses.replace(problem, scored=stale))
