"""A step works on the Ray cluster that a resource of dagster-ray has connected it to."""

from pathlib import Path

import dagster as dg
import pytest

from gotd_assets.pipeline.graph import build_pipeline
from gotd_assets.pipeline.placement import Placement
from gotd_assets.settings.file import load_project
from gotd_assets_tests.end_to_end.project import make_project

pytest.importorskip("ray")
dagster_ray = pytest.importorskip("dagster_ray")


@pytest.mark.slow
def test_a_step_uses_the_connection_of_local_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("it connected by itself")

    monkeypatch.setattr("gotd_assets.execution.ray_connection._connect", refused)
    project = load_project(make_project(tmp_path, compute={"engine": "ray"}))
    pipeline = build_pipeline(Placement(project, lambda: project, ray_resource="ray"))
    local = dagster_ray.LocalRay(ray_init_options={"num_cpus": 2, "include_dashboard": False})
    definitions = dg.Definitions.merge(pipeline, dg.Definitions(resources={"ray": local}))
    with dg.instance_for_test() as instance:
        done = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("raw_candidates")],
            partition_key=project.settings.sources[0].name,
        )
    assert done.success
