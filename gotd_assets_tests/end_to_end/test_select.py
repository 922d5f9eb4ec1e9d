"""`gotd_assets.select` gives the rows that the pipeline gives."""

import json
from pathlib import Path

import polars as pl
import pytest

from gotd_assets import select
from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.project import copied, gotd


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


def test_a_selection_is_exported_as_the_lines_that_it_was_read_from(finished: Path, tmp_path: Path) -> None:
    done = gotd(finished, "export", "film", str(tmp_path / "mine"), "--as", "source")
    assert done.returncode == 0, done.stdout + done.stderr
    made = ArtifactStore(finished / ".gotd" / "artifacts").current(ArtifactKey("selected_subset", "film/gotd"))
    subset = pl.read_parquet(made.file("subset.parquet")).sort("rank")
    for name in ("news", "mixed"):
        origins = subset.filter(pl.col("source") == name)["origin"].to_list()
        lines = (finished / "data" / f"{name}.jsonl").read_bytes().splitlines(keepends=True)
        expected = b"".join(lines[int(origin.rsplit(":", 1)[1]) - 1] for origin in origins)
        path = tmp_path / "mine" / f"{name}.jsonl"
        assert (path.read_bytes() if path.exists() else b"") == expected
    copied(finished, tmp_path / "again")
    with (tmp_path / "again" / "data" / "mixed.jsonl").open("a") as file:
        file.write("\n")
    refused = gotd(tmp_path / "again", "export", "film", str(tmp_path / "other"), "--as", "source")
    assert refused.returncode == 2
    assert "mixed.jsonl changed since the selection was made" in " ".join(refused.stderr.split())
