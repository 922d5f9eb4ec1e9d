"""What went wrong is said first, in one sentence, wherever Dagster shows it; and a sensor says what became of a request."""

import json
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster_graphql import DagsterGraphQLClient

from gotd_assets_tests.end_to_end.browser import servers
from gotd_assets_tests.end_to_end.project import copied, environment, inside, make_project, write_jsonl


def changed(folder: Path, **sections: object) -> None:
    path = folder / "gotd.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text(encoding="utf-8")), **sections}), encoding="utf-8")


def definitions_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.setenv("GOTD_SETTINGS", str(folder / "gotd.yaml"))
    from gotd_assets.definitions import defs

    return defs()


def test_a_step_that_fails_says_why_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, sources=[{"name": "news", "path": "data/news.jsonl", "fields": {"text": "body"}}])
    definitions = definitions_of(tmp_path, monkeypatch)
    with dg.instance_for_test() as instance:
        job = definitions.resolve_job_def("ingest_source")
        result = job.execute_in_process(instance=instance, partition_key="news", raise_on_error=False)
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        run = instance.get_run_by_id(result.run_id)
    told = failed.step_failure_data
    assert told.user_failure_data is not None
    assert "no record has the field 'body'" in str(told.user_failure_data.description)
    assert told.error is not None
    assert (told.error.message, told.error.stack) == (told.user_failure_data.description, [])
    assert told.error.cause is None
    assert told.error.context is None
    assert run is not None
    assert len(run.tags["gotd/settings"]) == 12


def test_a_typo_is_one_sentence_of_the_code_location(tmp_path: Path) -> None:
    make_project(tmp_path)
    changed(tmp_path, selektion={"budget": 8})
    with inside(tmp_path):
        from dagster._core.workspace.context import WorkspaceProcessContext
        from dagster._core.workspace.load_target import WorkspaceFileTarget

        target = WorkspaceFileTarget([str(tmp_path / "workspace.yaml")])
        with dg.instance_for_test() as instance, WorkspaceProcessContext(instance, target) as context:
            (entry,) = context.create_request_context().get_code_location_entries().values()
    assert entry.load_error is not None
    shown = entry.load_error.to_string()
    assert shown.strip() == "gotd.yaml: 1 wrong setting(s)\n  selektion: Extra inputs are not permitted"


def test_a_run_keeps_the_settings_it_was_launched_with(tmp_path: Path) -> None:
    make_project(tmp_path)
    script = """
import json, pathlib, sys
import dagster as dg
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
from dagster._core.definitions.reconstruct import initialize_repository_def_from_pointer
from dagster._core.code_pointer import ModuleCodePointer
from dagster._serdes import serialize_value, deserialize_value
from gotd_assets.pipeline.placement import Placement

launched = initialize_repository_def_from_pointer(
    ModuleCodePointer("gotd_assets.definitions", "defs", working_directory=None)
)
path = pathlib.Path("gotd.yaml")
before = Placement.of_file(path)
kept = deserialize_value(serialize_value(launched.repository_load_data))
path.write_text(path.read_text() + "selektion: half")
DefinitionsLoadContext.set(DefinitionsLoadContext(DefinitionsLoadType.RECONSTRUCTION, kept))
after = Placement.of_file(path)
webhook = after.declared.settings.notify.webhook
print(json.dumps([before.settings_fingerprint == after.settings_fingerprint, after.load().settings.without_secrets() == before.load().settings.without_secrets(),
    "secret-hook" in serialize_value(kept), webhook is None]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        env={**environment(tmp_path), "GOTD_NOTIFY__WEBHOOK": "http://127.0.0.1/secret-hook"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True, False, True]


def test_a_new_target_whose_run_never_began_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solved: Path
) -> None:
    copied(solved, tmp_path)
    write_jsonl(tmp_path / "targets" / "space.jsonl", ["a film of space", "and another"])
    changed(tmp_path, targets=[], targets_folder="targets", watch={"debounce_seconds": 0})
    definitions = definitions_of(tmp_path, monkeypatch)
    sensor = definitions.resolve_sensor_def("watch_targets")
    job = definitions.resolve_job_def("rescore_target")
    with dg.instance_for_test() as instance:
        cursor = None

        def look() -> dg.SensorResult:
            nonlocal cursor
            context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
            result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
            for request in result.dynamic_partitions_requests or []:
                instance.add_dynamic_partitions("gotd_targets", list(request.partition_keys))
            return result

        (request,) = look().run_requests or []
        run = instance.create_run_for_job(job, tags={"dagster/run_key": str(request.run_key), "gotd/target": "space"})
        instance.report_run_failed(run, "it did not start in time")
        skipped = look().skip_reason
        assert skipped is not None
        assert f"run {run.run_id[:8]} failed before any of its steps did; it is asked for again in" in str(
            skipped.skip_message
        )
        monkeypatch.setattr("gotd_assets.watch.asked._FIRST_WAIT", 0.0)
        (again,) = look().run_requests or []
        assert again.run_key != request.run_key
        assert again.tags["gotd/reason"] == f"run {run.run_id[:8]} for it never began"


@pytest.mark.slow
def test_a_launched_run_does_not_read_a_file_that_is_being_edited(tmp_path: Path) -> None:
    make_project(tmp_path)
    with servers(tmp_path) as at:
        client = DagsterGraphQLClient("127.0.0.1", port_number=int(at.dagster.rpartition(":")[2]))
        with (tmp_path / "gotd.yaml").open("a", encoding="utf-8") as file:
            file.write("selektion: half")
        run_id = client.submit_job_execution("ingest_source", tags={"dagster/partition": "news"})
        deadline = time.monotonic() + 300
        while client.get_run_status(run_id) not in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert client.get_run_status(run_id) == dg.DagsterRunStatus.SUCCESS
