"""A team leaves it running: real daemon processes, real files, and what comes of them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.watch.current import current_artifact
from gotd_assets_tests.end_to_end.project import environment, gotd, make_project, sentences, write_jsonl
from gotd_assets_tests.end_to_end.run_history import keep_history_as_shipped
from gotd_assets_tests.watch.test_notify import Hook, hook  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow
# A guard against waiting for ever, for machines with much else to do.
_PATIENCE = 600


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
    return current_artifact(ArtifactStore(folder / ".gotd" / "artifacts"), ArtifactKey(asset, partition))


def runs(folder: Path, job: str, **tags: str) -> list[dg.DagsterRun]:
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        filters = dg.RunsFilter(job_name=job, tags={key.replace("__", "/"): value for key, value in tags.items()})
        return list(instance.get_runs(filters=filters))


def statuses(folder: Path, job: str) -> list[str]:
    return [run.status.value for run in runs(folder, job)]


def backfill(folder: Path, job: str, *partitions: str) -> None:
    """What the UI's button for several partitions does."""
    command = [Path(sys.executable).with_name("dagster"), "job", "backfill", "--noprompt", "-w", "workspace.yaml"]
    subprocess.run(
        [*command, "-j", job, "--partitions", ",".join(partitions)],
        cwd=folder,
        env=environment(folder),
        check=True,
        capture_output=True,
    )


def follows(folder: Path, target: str = "film", method: str = "gotd") -> bool:
    """Whether the model of `target` was trained on its selection, and that was made for its documents as they are."""
    documents = current(folder, "target_documents", target)
    selection = current(folder, "selected_subset", f"{target}/{method}")
    model = current(folder, "pre_fine_tuned_model", f"{target}/{method}")
    if documents is None or selection is None or model is None:
        return False
    return (
        selection.manifest.inputs[str(documents.key)] == documents.version
        and model.manifest.inputs[str(selection.key)] == selection.version
    )


def partitions(folder: Path) -> list[str]:
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        return list(instance.get_dynamic_partitions("gotd_targets"))


def rows(documents: Artifact, side: str) -> list[dict[str, object]]:
    return pl.read_parquet(documents.path / side / "documents-*.parquet").to_dicts()


def make_settings(folder: Path, **changes: object) -> None:
    """Other settings, the same data."""
    path = folder / "gotd.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


SETTINGS = {
    "targets": [],
    "targets_folder": "targets",
    "selection": {"budget": 8, "methods": ["gotd"]},
    "watch": {"interval_seconds": 2, "debounce_seconds": 4},
}


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, **SETTINGS)
    keep_history_as_shipped(folder)
    write_jsonl(folder / "targets" / "film" / "one.jsonl", sentences("film", 24, 1))
    done = gotd(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def project(run_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has run once, with the target `film` in its targets folder."""
    shutil.copytree(run_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_target_that_comes_is_trained_on_and_one_that_goes_keeps_its_history(project: Path) -> None:
    film = current(project, "pre_fine_tuned_model", "film/gotd")
    dropped = project / "targets" / "Sport news.jsonl"
    with daemon(project):
        write_jsonl(dropped, sentences("sport", 10, 1))
        time.sleep(2)
        write_jsonl(dropped, sentences("sport", 20, 1))
        (project / "targets" / "film" / "one.jsonl").rename(project / "targets" / "film" / "renamed.jsonl")
        wait_for("a model for the new target", project, lambda: follows(project, "sport-news"))
        wait_for("its report", project, lambda: current(project, "evaluation_report", "sport-news"))
        write_jsonl(project / "targets" / "film" / "renamed.jsonl", sentences("film", 24, 1)[::-1])
        wait_for(
            "a look at rows that changed places",
            project,
            lambda: "hold the same texts as before" in (project / "daemon.log").read_text(),
        )
        dropped.unlink()
        wait_for("its retirement", project, lambda: partitions(project) == ["film"])
    selection = current(project, "selected_subset", "sport-news/gotd")
    assert selection is not None
    started = runs(project, "rescore_target")
    assert [(run.tags["gotd/target"], run.status.value) for run in started] == [("sport-news", "SUCCESS")]
    assert started[0].tags["gotd/reason"] == "it is new"
    trained = runs(project, "__ASSET_JOB", gotd__selection_version=selection.version)
    assert {run.tags["gotd/method"] for run in trained} == {"gotd"}
    assert current(project, "pre_fine_tuned_model", "film/gotd") == film
    history = gotd(project, "audit", "selection_history", "--target", "sport-news", "--format", "json")
    assert json.loads(history.stdout)["selection_version"] == selection.version
    with dg.DagsterInstance.from_config(str(project)) as instance:
        assert "gotd|sport-news" in instance.get_materialized_partitions(dg.AssetKey("selected_subset"))


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
        wait_for("the run of the broken target", project, lambda: "FAILURE" in statuses(project, "rescore_target"))
        wait_for("the news of it", project, lambda: hook.told)
    write_jsonl(project / "targets" / "film" / "two.jsonl", sentences("sport", 60, 2))
    with daemon(project):
        wait_for("new potentials", project, lambda: current(project, "ot_potentials", "film") != before)
        wait_for("a model of the new selection", project, lambda: follows(project))
        wait_for("the news of the model", project, lambda: any(told["event"] == "success" for told in hook.told))
    after = current(project, "ot_potentials", "film")
    assert after is not None
    assert "started_from" not in after.manifest.summary, "most of the target changed"
    # The broken one is there all the while, and not asked for again.
    assert sorted(run.tags["gotd/target"] for run in runs(project, "rescore_target")) == ["broken", "film"]
    assert {(told["event"], told["target"]) for told in hook.told} == {("failure", "broken"), ("success", "film")}


def test_a_burst_during_a_run_ends_in_one_more(project: Path) -> None:
    film = project / "targets" / "film" / "one.jsonl"
    first = current(project, "target_documents", "film")
    with daemon(project):
        write_jsonl(film, sentences("film", 24, 2))
        wait_for("a run that has read it", project, lambda: current(project, "target_documents", "film") != first)
        for number in range(4):
            write_jsonl(film, sentences("film", 24, 10 + number))
            time.sleep(0.5)
        assert statuses(project, "rescore_target") == ["STARTED"]
        read = current(project, "target_documents", "film")
        wait_for("one more", project, lambda: statuses(project, "rescore_target") == ["SUCCESS", "SUCCESS"])
        assert current(project, "target_documents", "film") != read
        wait_for("a model of what came last", project, lambda: follows(project))
        time.sleep(15)
    assert statuses(project, "rescore_target") == ["SUCCESS", "SUCCESS"]
    documents = current(project, "target_documents", "film")
    assert documents is not None
    texts = {row["text"] for side in ("train", "heldout") for row in rows(documents, side)}
    assert texts == set(sentences("film", 24, 13))


def test_a_selection_that_hardly_changed_is_not_trained_on(project: Path) -> None:
    make_settings(project, watch={**SETTINGS["watch"], "retrain_below_overlap": 0.5})
    film = project / "targets" / "film" / "one.jsonl"
    selection = current(project, "selected_subset", "film/gotd")
    model = current(project, "pre_fine_tuned_model", "film/gotd")
    with daemon(project):
        write_jsonl(film, sentences("film", 24, 1) + sentences("film", 1, 3))
        wait_for("a selection", project, lambda: current(project, "selected_subset", "film/gotd") != selection)
        time.sleep(15)
        assert current(project, "pre_fine_tuned_model", "film/gotd") == model
        write_jsonl(film, sentences("sport", 24, 1))
        wait_for("a model of another selection", project, lambda: follows(project))
    assert current(project, "pre_fine_tuned_model", "film/gotd") != model
    assert len(runs(project, "rescore_target")) == 2


def test_two_targets_are_backfilled_and_a_selection_away_from_one_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    method = "gotd-toward-and-away"
    targets = [{"name": name, "path": f"targets/{name}.jsonl"} for name in ("film", "spam")]
    for name, topic in (("film", "film"), ("spam", "news")):
        write_jsonl(tmp_path / "targets" / f"{name}.jsonl", sentences(topic, 24, 1))
    selection = {"budget": 8, "methods": [method], "away_target": "spam"}
    make_project(tmp_path, targets=targets, selection=selection, watch=SETTINGS["watch"])
    keep_history_as_shipped(tmp_path)
    done = gotd(tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    before = current(tmp_path, "selected_subset", f"film/{method}")
    with daemon(tmp_path):
        backfill(tmp_path, "rescore_target", "film", "spam")
        wait_for("both", tmp_path, lambda: statuses(tmp_path, "rescore_target") == ["SUCCESS", "SUCCESS"])
        assert current(tmp_path, "selected_subset", f"film/{method}") == before
        write_jsonl(tmp_path / "targets" / "spam.jsonl", sentences("sport", 24, 1))
        wait_for(
            "a selection away from it",
            tmp_path,
            lambda: current(tmp_path, "selected_subset", f"film/{method}") != before,
        )
    after, scores = (
        current(tmp_path, "selected_subset", f"film/{method}"),
        current(tmp_path, "candidate_scores", "spam"),
    )
    assert after is not None
    assert scores is not None
    assert after.manifest.inputs[str(scores.key)] == scores.version
    newest, *backfilled = runs(tmp_path, "rescore_target")
    assert {run.tags["gotd/target"] for run in backfilled} == {"film", "spam"}
    assert len({run.tags["dagster/backfill"] for run in backfilled}) == 1
    assert (newest.tags["gotd/target"], newest.tags["gotd/reason"]) == ("spam", "its files changed")


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
