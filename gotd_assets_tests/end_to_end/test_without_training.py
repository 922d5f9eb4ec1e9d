"""A project that names no language model ends at its selections, and its report speaks of them."""

from pathlib import Path

import dagster as dg
import polars as pl

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.pipeline.graph import build_pipeline
from gotd_assets.pipeline.placement import Placement
from gotd_assets_tests.end_to_end.project import gotd, make_project


def test_it_selects_and_reports_and_has_no_asset_that_trains(tmp_path: Path) -> None:
    path = make_project(tmp_path, training=None, selection={"budget": 8, "stability_resamples": 0})
    definitions = build_pipeline(Placement.of_file(path))
    dg.Definitions.validate_loadable(definitions)
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert "selected_subset" in specs
    assert "pre_fine_tuned_model" not in specs
    assert "selected_subset" in {dep.asset_key.to_user_string() for dep in specs["evaluation_report"].deps}
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    store = ArtifactStore(tmp_path / ".gotd" / "artifacts")
    assert (
        pl.read_parquet(store.current(ArtifactKey("selected_subset", "film/gotd")).file("subset.parquet")).height == 8
    )
    report = store.current(ArtifactKey("evaluation_report", "film")).file("report.md").read_text(encoding="utf-8")
    shown = " ".join(gotd(tmp_path, "report", "film").stdout.split())
    for text in (report, shown):
        assert "Nothing was trained" in " ".join(text.split())
        assert "perplexity" not in text
        assert "transport cost to target" in text
