"""A team leaves it running: real daemon processes, real files, and what comes of them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from gotd_assets.storage import Artifact, ArtifactKey, ArtifactStore
from gotd_assets.watch.standing import standing
from gotd_assets_tests.end_to_end.project import environment, gotd, make_project, sentences, write_jsonl
from gotd_assets_tests.test_notify import Hook, hook  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow
_PATIENCE = 200


@contextlib.contextmanager
def daemon(folder: Path) -> Iterator[None]:
    """`dagster-daemon run` in the project of `folder`, stopped at the end with everything it started."""
    command = [
        str(Path(sys.executable).with_name("dagster-daemon")),
        "run",
        "--workspace",
        str(folder / "workspace.yaml"),
    ]
    with (folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
            assert process.poll() is None, (folder / "daemon.log").read_text()[-3000:]
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def wait_for(what: str, folder: Path, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            log = (folder / "daemon.log").read_text()
            raise AssertionError(f"waited {_PATIENCE} s for {what}; the daemon said:\n{log[-4000:]}")
        time.sleep(1)


def current(folder: Path, asset: str, partition: str | None = None) -> Artifact | None:
    return standing(ArtifactStore(folder / ".gotd" / "artifacts"), ArtifactKey(asset, partition))


def runs(folder: Path, job: str, **tags: str) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        filters = dg.RunsFilter(job_name=job, tags={key.replace("__", "/"): value for key, value in tags.items()})
        return list(instance.get_runs(filters=filters))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has run once, with the target `film` in its targets folder."""
    monkeypatch.chdir(tmp_path)
    make_project(
        tmp_path,
        targets=[],
        targets_folder="targets",
        selection={"budget": 8, "methods": ["gotd"]},
        watch={"interval_seconds": 2, "debounce_seconds": 4},
    )
    write_jsonl(tmp_path / "targets" / "film" / "one.jsonl", sentences("film", 24, 1))
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path


def test_a_target_dropped_into_the_folder_is_selected_for_and_trained_on(project: Path) -> None:
    film = current(project, "pre_fine_tuned_model", "film/gotd")
    with daemon(project):
        write_jsonl(project / "targets" / "Sport news.jsonl", sentences("sport", 10, 1))
        time.sleep(2)
        write_jsonl(project / "targets" / "Sport news.jsonl", sentences("sport", 20, 1))
        (project / "targets" / "film" / "one.jsonl").rename(project / "targets" / "film" / "renamed.jsonl")
        wait_for(
            "a model for the new target", project, lambda: current(project, "pre_fine_tuned_model", "sport-news/gotd")
        )
        wait_for("its report", project, lambda: current(project, "evaluation_report", "sport-news"))
    selection = current(project, "selected_subset", "sport-news/gotd")
    model = current(project, "pre_fine_tuned_model", "sport-news/gotd")
    assert selection is not None
    assert model is not None
    assert model.manifest.inputs["selected_subset[sport-news/gotd]"] == selection.version
    started = runs(project, "rescore_target")
    assert [(run.tags["gotd/target"], run.status.value) for run in started] == [("sport-news", "SUCCESS")]
    assert started[0].tags["gotd/reason"] == "it is new"
    trained = runs(project, "__ASSET_JOB", gotd__selection_version=selection.version)
    assert {run.tags["gotd/method"] for run in trained} == {"gotd"}
    assert current(project, "pre_fine_tuned_model", "film/gotd") == film


def test_changes_survive_a_restart_and_a_failing_target_stops_nobody(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: Hook,  # noqa: F811
) -> None:
    monkeypatch.setenv("GOTD_NOTIFY__WEBHOOK", hook.url)
    before = current(project, "ot_potentials", "film")
    assert before is not None
    with daemon(project):
        (project / "targets" / "broken.jsonl").write_text('{"no text": 1}\n')
        wait_for(
            "the run of the broken target",
            project,
            lambda: [r for r in runs(project, "rescore_target") if r.is_failure],
        )
        wait_for("the news of it", project, lambda: hook.told)
    (project / "targets" / "broken.jsonl").unlink()
    write_jsonl(project / "targets" / "film" / "two.jsonl", sentences("sport", 60, 2))
    with daemon(project):
        wait_for("new potentials", project, lambda: current(project, "ot_potentials", "film") != before)
        wait_for(
            "a model of the new selection",
            project,
            lambda: (
                (model := current(project, "pre_fine_tuned_model", "film/gotd"))
                and (selection := current(project, "selected_subset", "film/gotd"))
                and selection.manifest.inputs["target_documents[film]"]
                == current(project, "target_documents", "film").version
                and model.manifest.inputs["selected_subset[film/gotd]"] == selection.version
            ),
        )
        wait_for("the news of the model", project, lambda: any(told["event"] == "success" for told in hook.told))
    after = current(project, "ot_potentials", "film")
    assert after is not None
    assert after.manifest.summary["started_from"] == before.version
    assert sorted(run.tags["gotd/target"] for run in runs(project, "rescore_target")) == ["broken", "film"]
    assert {(told["event"], told["target"]) for told in hook.told} == {("failure", "broken"), ("success", "film")}
    with dg.DagsterInstance.from_config(str(project)) as instance:
        assert list(instance.get_dynamic_partitions("gotd_targets")) == ["film"]


def test_new_candidates_ask_for_a_selection_only_if_they_can_change_it(project: Path) -> None:
    with daemon(project):
        write_jsonl(project / "data" / "news.jsonl", [*sentences("news", 60, 0), *sentences("news", 5, 7)])
        wait_for(
            "the new news in the pool",
            project,
            lambda: (
                (pool := current(project, "candidate_pool"))
                and pool.manifest.inputs["raw_candidates[news]"] == current(project, "raw_candidates", "news").version
                and current(project, "candidate_embeddings", "news").manifest.summary["documents"] == 65
            ),
        )
        time.sleep(10)
        assert runs(project, "rescore_target") == []
        assert len(runs(project, "ingest_source")) == 1
        mixed = [json.loads(line)["text"] for line in (project / "data" / "mixed.jsonl").read_text().splitlines()]
        write_jsonl(project / "data" / "mixed.jsonl", [*mixed, *sentences("film", 10, 9)])
        wait_for("a selection run", project, lambda: [r for r in runs(project, "rescore_target") if r.is_success])
    (run,) = runs(project, "rescore_target")
    assert run.tags["gotd/target"] == "film"
    assert "new candidates score better" in run.tags["gotd/reason"]
