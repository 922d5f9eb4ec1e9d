"""Documents that leave the pool by their vectors, against every pair compared one after the other."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gotd_assets.embedding.store import id_bytes
from gotd_assets.fingerprint import document_id
from gotd_assets.selection.pool.left_out import exclusions
from gotd_assets.selection.pool.pool import Pool
from gotd_assets.selection.pool.similar import find_similar, leave_out_similar

COSINE = 0.95


def clustered(count: int, dimension: int, seed: int) -> np.ndarray:
    """Vectors of which about half are like an earlier one, more and less."""
    draw = np.random.default_rng(seed)
    own = draw.standard_normal((count, dimension))
    like = draw.integers(0, np.maximum(1, np.arange(count)))
    for row in np.flatnonzero(draw.random(count) < 0.5):
        own[row] = own[like[row]] + draw.uniform(0.05, 0.5) * draw.standard_normal(dimension)
    return own.astype(np.float16)


def write(folder: Path, vectors: np.ndarray, shard_rows: int) -> Path:
    folder.mkdir()
    for number, start in enumerate(range(0, len(vectors), shard_rows)):
        part = vectors[start : start + shard_rows]
        ids = pl.Series([document_id(f"{folder.name} {start + row}") for row in range(len(part))])
        np.save(folder / f"vectors-{number:05}.npy", part)
        np.save(folder / f"ids-{number:05}.npy", id_bytes(ids))
    return folder


def pool_of(tmp_path: Path, vectors: np.ndarray, parts: int = 3) -> tuple[dict[str, Path], Path]:
    pieces = np.array_split(vectors, parts)
    embeddings = {f"s{n}": write(tmp_path / f"s{n}", piece, 700) for n, piece in enumerate(pieces)}
    left_out = tmp_path / "left_out.parquet"
    schema = dict.fromkeys(("doc_id", "source", "reason"), pl.String)
    pl.DataFrame(schema=schema).write_parquet(left_out)
    return embeddings, left_out


def one_after_the_other(vectors: np.ndarray, cosine: float) -> dict[int, tuple[int, float]]:
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    kept: list[int] = []
    left = {}
    for row in range(len(unit)):
        similar = unit[kept] @ unit[row] if kept else np.zeros(0)
        if len(similar) and similar.max() >= cosine:
            left[row] = (kept[int(similar.argmax())], float(similar.max()))
        else:
            kept.append(row)
    return left


def test_who_leaves_and_for_whom_is_what_all_pairs_say(tmp_path: Path) -> None:
    vectors = clustered(5000, 24, 0)
    pool = Pool.open(*pool_of(tmp_path, vectors))
    report = find_similar(pool, COSINE)
    expected = one_after_the_other(vectors, COSINE)
    ids = pool.doc_ids()["doc_id"].to_list()
    found = {row["doc_id"]: (row["matched_doc_id"], row["similarity"]) for row in report.rows.iter_rows(named=True)}
    assert 1000 < len(expected) < 3000
    assert found.keys() == {ids[row] for row in expected}
    assert {row: found[ids[row]][0] for row in expected} == {row: ids[match] for row, (match, _) in expected.items()}
    np.testing.assert_allclose([found[ids[row]][1] for row in expected], [s for _, s in expected.values()], atol=1e-5)
    assert report.exact
    assert sum(report.documents.values()) == 5000


def test_the_index_finds_nearly_all_of_them_and_nothing_else(tmp_path: Path) -> None:
    vectors = clustered(12_000, 24, 1)
    pool = Pool.open(*pool_of(tmp_path, vectors))
    exact, approximate = find_similar(pool, COSINE), find_similar(pool, COSINE, exact_rows=0)
    assert not approximate.exact
    missed = set(exact.rows["doc_id"]) - set(approximate.rows["doc_id"])
    assert len(missed) < 0.01 * exact.rows.height
    rows = {doc_id: row for row, doc_id in enumerate(pool.doc_ids()["doc_id"])}
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for row in approximate.rows.iter_rows(named=True):
        true = float(unit[rows[row["doc_id"]]] @ unit[rows[row["matched_doc_id"]]])
        assert true >= COSINE - 1e-5
        assert row["similarity"] == pytest.approx(true, abs=1e-5)
    assert not set(approximate.rows["matched_doc_id"]) & set(approximate.rows["doc_id"])


def test_a_pool_of_one_text_in_many_wordings_keeps_the_first(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    vectors = (draw.standard_normal(16) + 0.01 * draw.standard_normal((3000, 16))).astype(np.float16)
    report = find_similar(Pool.open(*pool_of(tmp_path, vectors)), COSINE)
    assert report.rows.height == 2999
    assert set(report.rows["matched_doc_id"]) == {document_id("s0 0")}


def test_what_left_before_is_not_compared_and_what_leaves_is_told(tmp_path: Path) -> None:
    vectors = np.eye(4, dtype=np.float16)[[0, 0, 1, 1, 2, 3]]
    embeddings, left_out = pool_of(tmp_path, vectors, parts=2)
    first, third = document_id("s0 0"), document_id("s0 2")
    duplicates = tmp_path / "duplicates.parquet"
    known = {"source": "s0", "matched_doc_id": third, "matched_source": "s0", "kind": "near", "similarity": 0.9}
    pl.DataFrame([{"doc_id": first, **known}]).write_parquet(duplicates)
    pl.DataFrame([{"doc_id": first, "source": "s0", "reason": "duplicate"}]).write_parquet(left_out)
    leave_out_similar(embeddings, COSINE, duplicates, left_out)
    assert Pool.open(embeddings, left_out).doc_ids()["doc_id"].to_list() == [
        document_id(name) for name in ("s0 1", "s0 2", "s1 1", "s1 2")
    ]
    told = exclusions(duplicates, []).sort("reason").select("doc_id", "matched_doc_id", "reason").rows()
    assert told == [
        (document_id("s1 0"), third, "its vector is like another candidate's (cosine 1.0)"),
        (first, third, "near-duplicate of another candidate"),
    ]
