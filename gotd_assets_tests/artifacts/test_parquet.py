"""A path of a home means one file, whatever signs stand in it."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from gotd_assets.artifacts.parquet import literal_names, parquet_columns, read_parquet, scan_parquet


@pytest.mark.parametrize(
    "name", ["[raw] 2024", "a*b", "what?", "100%25", "no #1", 'it\'s "so"', "müller", "lang=en", "{a,b}"]
)
def test_signs_in_a_path_stand_for_themselves(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    frame = pl.DataFrame({"doc_id": ["a", "b"]})
    frame.write_parquet(folder / f"{name}.parquet")
    # What a pattern would match as well.
    (tmp_path / "r").mkdir()
    pl.DataFrame({"doc_id": ["x"]}).write_parquet(tmp_path / "r" / "axb.parquet")
    path = folder / f"{name}.parquet"
    assert read_parquet(path).equals(frame)
    assert scan_parquet([path, path]).collect().height == 4
    assert parquet_columns(path) == {"doc_id": "String"}
    found = duckdb.read_parquet(literal_names([path]), hive_partitioning=False)
    assert found.columns == ["doc_id"]
    assert found.fetchall() == [("a",), ("b",)]
