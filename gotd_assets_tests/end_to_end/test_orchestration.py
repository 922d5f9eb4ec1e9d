"""Handles that a platform has: attempts, tags of steps, freshness, a schedule."""

import dataclasses
import datetime as dt
import json
from pathlib import Path

import dagster as dg
import pytest

from gotd_assets.errors import GotdError, InputError, SettingsError
from gotd_assets.pipeline.graph import build_pipeline
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.resources import TrackingResource
from gotd_assets.settings.file import load_project
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.graph import Graph
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work
from gotd_assets_tests.end_to_end.project import make_project


def pipeline(folder: Path, station: Station | None = None, **orchestration: object) -> dg.Definitions:
    project = load_project(make_project(folder, orchestration=orchestration))
    graph = GRAPH if station is None else Graph((*GRAPH.stations, station))
    return build_pipeline(Placement(project, lambda: project, graph=graph))


@pytest.mark.parametrize(("engine", "required"), [("ray", {"ray"}), ("local", set())])
def test_heavy_steps_require_the_resource_that_connects_them_to_ray(
    tmp_path: Path, engine: str, required: set[str]
) -> None:
    project = load_project(make_project(tmp_path, compute={"engine": engine}))
    definitions = build_pipeline(Placement(project, lambda: project, ray_resource="ray"))
    assets = {
        key.path[-1]: asset.required_resource_keys
        for asset in definitions.assets or []
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.keys
    }
    assert required <= assets["ot_potentials"]
    assert "ray" not in assets["target_documents"]
    assert ("ray" in assets["candidate_embeddings"]) == (engine == "ray")
    assert ("ray" in assets["raw_candidates"]) == ("ray" in assets["candidate_pool"]) == (engine == "ray")


def troubled(failures: int, *, may_pass: bool) -> tuple[Station, list[int]]:
    """A station of the target's that fails so many times before it succeeds, and the attempts at it."""
    attempts: list[int] = []

    def fragile(work: Work) -> Recipe:
        """Asks a server that is in trouble."""
        attempts.append(len(attempts))
        if len(attempts) <= failures:
            raise InputError("the server did not answer", may_pass=may_pass)
        return Recipe({}, lambda _: None)

    return dataclasses.replace(GRAPH.named("target_documents"), prepare=fragile, checks=(), table=None), attempts


@pytest.mark.parametrize(
    ("failures", "may_pass", "attempted", "succeeds"),
    [(2, True, 3, True), (9, True, 3, False), (1, False, 1, False)],
    ids=["passes", "lasts", "needs a person"],
)
def test_what_may_pass_is_tried_again_and_nothing_else(
    tmp_path: Path, *, failures: int, may_pass: bool, attempted: int, succeeds: bool
) -> None:
    station, attempts = troubled(failures, may_pass=may_pass)
    definitions = pipeline(tmp_path, station, retries=2, retry_seconds=0)
    with dg.instance_for_test() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("fragile")],
            partition_key="film",
            raise_on_error=False,
        )
    assert len(attempts) == attempted
    assert result.success == succeeds
    told = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert [data and data.description for data in told] == ([] if succeeds else ["the server did not answer"])


def test_steps_have_the_tags_and_assets_the_freshness_of_the_settings(tmp_path: Path) -> None:
    gpu = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}
    definitions = pipeline(
        tmp_path,
        op_tags={"pre_fine_tuned_model": {"dagster-k8s/config": gpu}},
        freshness_hours={"evaluation_report": 168},
        schedule="0 3 * * *",
    )
    model = definitions.resolve_assets_def(dg.AssetKey("pre_fine_tuned_model"))
    assert json.loads(model.op.tags["dagster-k8s/config"]) == gpu
    assert "dagster-k8s/config" not in definitions.resolve_assets_def(dg.AssetKey("selected_subset")).op.tags
    (report,) = definitions.resolve_assets_def(dg.AssetKey("evaluation_report")).specs
    assert report.freshness_policy == dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=7))
    schedule = definitions.resolve_schedule_def("everything_by_the_clock")
    assert (schedule.cron_schedule, schedule.job_name) == ("0 3 * * *", "materialize_everything")
    dg.Definitions.validate_loadable(definitions)


@pytest.mark.parametrize(
    ("orchestration", "words"),
    [
        ({"op_tags": {"model": {}}}, "orchestration.op_tags: there is no asset 'model'; there are: raw_candidates, "),
        ({"freshness_hours": {"report": 1}}, "orchestration.freshness_hours: there is no asset 'report'"),
        ({"schedule": "at night"}, "orchestration.schedule: 'at night' is no cron expression"),
    ],
)
def test_what_is_wrong_is_said_when_the_location_loads(
    tmp_path: Path, orchestration: dict[str, object], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        pipeline(tmp_path, **orchestration)


def test_an_error_needs_a_person_unless_it_says_otherwise() -> None:
    assert not GotdError("no").may_pass


def test_resources_say_what_the_settings_say_unless_the_location_brings_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str | None, str]] = []

    def look(work: Work) -> Recipe:
        """Notes where trainings are recorded."""
        seen.append((work.settings.tracking.uri, work.settings.compute.engine))
        return Recipe({}, lambda _: None)

    station = dataclasses.replace(GRAPH.named("target_documents"), prepare=look, checks=(), table=None)
    project = load_project(make_project(tmp_path, tracking={"uri": "http://127.0.0.1:1"}))

    def materialized(definitions: dg.Definitions, job: str | None) -> None:
        with dg.instance_for_test() as instance:
            found = (
                definitions.resolve_implicit_global_asset_job_def() if job is None else definitions.resolve_job_def(job)
            )
            partition = {"partition_key": "film", "asset_selection": [dg.AssetKey("look")]} if job is None else {}
            assert found.execute_in_process(instance=instance, **partition).success

    graph = Graph((*GRAPH.stations, station))
    own = build_pipeline(Placement(project, lambda: project, graph=graph))
    materialized(own, None)
    assert seen.pop() == ("http://127.0.0.1:1", "local")

    monkeypatch.setenv("TEAM_MLFLOW", "http://127.0.0.1:2")
    placement = Placement(project, lambda: project, graph=graph, resources={"tracking": "mlflow"})
    team = dg.Definitions(resources={"mlflow": TrackingResource(uri=dg.EnvVar("TEAM_MLFLOW"))})
    swapped = dg.Definitions.merge(build_pipeline(placement), team)
    dg.Definitions.validate_loadable(swapped)
    materialized(swapped, None)
    assert seen.pop() == ("http://127.0.0.1:2", "local")
    # Its children have what the job has.
    alone = dataclasses.replace(placement, graph=Graph((station,)))
    materialized(dg.Definitions.merge(build_pipeline(alone), team), "reselect_target")
    assert seen.pop() == ("http://127.0.0.1:2", "local")

    wrong = dg.Definitions.merge(
        build_pipeline(placement),
        dg.Definitions(resources={"mlflow": dg.ResourceDefinition.hardcoded_resource("sqlite")}),
    )
    with pytest.raises(dg.Failure, match=r"it must be a gotd_assets\.TrackingResource"):
        materialized(wrong, None)
