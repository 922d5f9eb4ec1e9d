"""What a user of the Dagster UI launches and sees: jobs that need no configuration, and pictures on the assets."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.catalogue.svg import drawn
from gotd_assets_tests.end_to_end.project import make_project, sentences, write_jsonl
from gotd_assets_tests.end_to_end.run_history import event_log
from gotd_assets_tests.watch.test_notify import Hook, hook  # noqa: F401 - a fixture

PICTURES = {
    "raw_candidates": {"length"},
    "candidate_scores": {"distribution"},
    "domain_relevance": {"distances"},
    "selected_subset": {"scores", "sources", "budget_curve"},
    "pre_fine_tuned_model": {"loss"},
    "evaluation_report": {"budget_curves"},
}
TABLES = {
    "raw_candidates": "sample",
    "target_documents": "sample",
    "selected_subset": "best",
    "evaluation_report": "methods",
}


@pytest.fixture(scope="module")
def launched(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, dg.Definitions, dg.DagsterInstance]]:
    """A project after the job `materialize_everything`, of whose progress every line was observed."""
    folder = tmp_path_factory.mktemp("jobs")
    kept = {"event_log_storage": event_log(str(tmp_path_factory.mktemp("history")))}
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test(overrides=kept) as instance:
        patch.setenv("GOTD_SETTINGS", str(make_project(folder)))
        patch.setattr("gotd_assets.stations.work.SECONDS_BETWEEN_OBSERVATIONS", 0.0)
        from gotd_assets.definitions import defs

        definitions = defs()
        launch(definitions, instance, "materialize_everything")
        yield folder, definitions, instance


def launch(definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, **config: object) -> None:
    ops = {"ops": {name: {"config": config} for name in [definitions.resolve_job_def(job).nodes[0].name]}}
    run_config: Any = ops if config else {}
    assert definitions.resolve_job_def(job).execute_in_process(run_config=run_config, instance=instance).success


def metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, object]:
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return {key: value.value for key, value in event.asset_materialization.metadata.items()}


def picture_width(markdown: object) -> int:
    """Width of the SVG; it is shown in place, as the UI does with Markdown of under 1,000 characters."""
    assert len(str(markdown)) < 1000
    return int(drawn(str(markdown)).attrib["width"])


def test_a_long_step_shows_on_its_assets_page_how_far_it_is(
    launched: tuple[Path, dg.Definitions, dg.DagsterInstance],
) -> None:
    _, _, instance = launched

    def observed(asset: str) -> list[tuple[str | None, dict[str, object], float]]:
        records = instance.fetch_observations(dg.AssetKey(asset), limit=100).records
        found = [(record.asset_observation, record.timestamp) for record in records]
        return [
            (seen.partition, {key: value.value for key, value in seen.metadata.items()}, time)
            for seen, time in found
            if seen is not None
        ]

    partitions = {partition for partition, _, _ in observed("pre_fine_tuned_model")}
    assert partitions == {"gotd|film", "random|film"}
    _, shown, time = next(seen for seen in observed("pre_fine_tuned_model") if "step" in seen[1])
    assert str(shown["progress"]).startswith("training: step")
    assert shown["step"] == shown["steps"]
    run = instance.get_run_by_id(str(shown["run"]))
    assert run is not None
    # It was there before the step had ended.
    event = instance.get_latest_materialization_event(dg.AssetKey("pre_fine_tuned_model"))
    assert event is not None
    assert time < event.timestamp
    assert {partition for partition, _, _ in observed("candidate_embeddings")} == {"news", "mixed"}


def test_a_target_that_is_not_there_is_named(launched: tuple[Path, dg.Definitions, dg.DagsterInstance]) -> None:
    _, definitions, instance = launched
    with pytest.raises(Exception, match="there is no 'filme'; declared are: film"):
        launch(definitions, instance, "reselect_target", target="filme")


def test_jobs_run_as_the_launchpad_opens_them(launched: tuple[Path, dg.Definitions, dg.DagsterInstance]) -> None:
    folder, definitions, instance = launched
    store = ArtifactStore(folder / ".gotd" / "artifacts")
    for asset, names in PICTURES.items():
        shown = metadata(instance, asset)
        for name in names:
            assert picture_width(shown[name]) > 300
    for asset, name in TABLES.items():
        assert str(metadata(instance, asset)[name]).count("\n") >= 3
    link = str(metadata(instance, "pre_fine_tuned_model")["mlflow_run"])
    assert re.fullmatch(
        r"http://127\.0\.0\.1:5000/#/experiments/\d+/runs/[0-9a-f]{32}\?workflowType=machine_learning", link
    )

    selected = ArtifactKey("selected_subset", "film/gotd")
    first = store.current(selected).version
    runs = instance.get_runs_count()
    launch(definitions, instance, "compare_methods", target="film")
    (parent,) = instance.get_runs(filters=dg.RunsFilter(job_name="compare_methods"))
    children = instance.get_runs(filters=dg.RunsFilter(tags={"gotd/launcher": "compare_methods"}))
    assert {(run.parent_run_id, run.root_run_id) for run in children} == {(parent.run_id, parent.run_id)}
    assert len(children) == 5
    # A run of its own, one for each of two selections, one for each of their models, and one for the report.
    assert instance.get_runs_count() == runs + 6
    assert store.current(selected).version == first
    write_jsonl(folder / "data" / "target.jsonl", sentences("film", 30, 2))
    launch(definitions, instance, "reselect_target")
    assert store.current(selected).version != first
    tagged = instance.get_runs(filters=dg.RunsFilter(tags={"gotd/target": "film", "gotd/method": "gotd"}))
    assert len(tagged) == 6  # three times a selection, and a model trained on it
    assert store.current(selected).version in {run.tags["gotd/selection_version"] for run in tagged}


def tell_of_failure(definitions: dg.Definitions, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """What the daemon does when a run has failed."""
    (record,) = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    assert record.event_log_entry.dagster_event is not None
    context = dg.build_run_status_sensor_context(
        "notify_failure", record.event_log_entry.dagster_event, instance, run
    ).for_run_failure()
    definitions.resolve_sensor_def("notify_failure")(context)


def test_a_job_that_fails_is_told_of_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: Hook,  # noqa: F811
) -> None:
    monkeypatch.setenv("GOTD_SETTINGS", str(make_project(tmp_path)))
    monkeypatch.setenv("GOTD_NOTIFY__WEBHOOK", hook.url)
    from gotd_assets.definitions import defs

    definitions = defs()
    job = definitions.resolve_job_def("reselect_target")
    with dg.instance_for_test() as instance:
        config = {"ops": {"one_target": {"config": {"target": "filme"}}}}
        before_any_stage = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        write_jsonl(tmp_path / "data" / "target.jsonl", [])
        in_a_stage = job.execute_in_process(instance=instance, raise_on_error=False)
        assert [told["target"] for told in hook.told] == ["film"]
        for result in (before_any_stage, in_a_stage):
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            tell_of_failure(definitions, instance, run)
    assert [(told["event"], told["job"]) for told in hook.told] == [
        ("failure", "reselect_target"),
        ("failure", "reselect_target"),
    ]


def test_jobs_over_partitions_can_be_backfilled(launched: tuple[Path, dg.Definitions, dg.DagsterInstance]) -> None:
    _, definitions, _ = launched
    divided = {
        job: definitions.resolve_job_def(job).partitions_def
        for job in ("ingest_source", "rescore_target", "select_and_train")
    }
    keys = {job: None if partitions is None else partitions.get_partition_keys() for job, partitions in divided.items()}
    assert keys == {
        "ingest_source": ["news", "mixed"],
        "rescore_target": ["film"],
        "select_and_train": ["gotd|film", "random|film"],
    }
