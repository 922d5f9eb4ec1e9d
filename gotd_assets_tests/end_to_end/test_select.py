"""`gotd_assets.select` gives the rows that the pipeline gives."""

import json
from pathlib import Path

import polars as pl
import pytest

from gotd_assets import select
from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore


@pytest.mark.parametrize(("method", "as_files"), [("gotd", True), ("random", False)])
def test_the_same_rows_come_out_of_the_pipeline(method: str, as_files: bool, finished: Path) -> None:
    made = ArtifactStore(finished / ".gotd" / "artifacts").current(ArtifactKey("selected_subset", f"film/{method}"))
    expected = pl.read_parquet(made.file("subset.parquet"))
    files = {name: finished / "data" / f"{name}.jsonl" for name in ("news", "mixed", "target")}
    given = files if as_files else {name: texts_of(path) for name, path in files.items()}
    target = given.pop("target")
    options = {"settings": {"target": {"holdout": {"share": 0.5}}}}
    found = select(given, target, 8, encoder=finished / "encoder", method=method, **options).frame
    for column in ("doc_id", "source", "score", "nearest_target_text"):
        assert found[column].to_list() == expected[column].to_list(), column


def texts_of(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
