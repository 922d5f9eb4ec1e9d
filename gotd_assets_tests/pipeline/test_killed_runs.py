"""What a kill leaves in Dagster does not make the next run wait."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from gotd_assets.pipeline import tags
from gotd_assets.pipeline.placement import Placement
from gotd_assets.pipeline.runs.killed_runs import end_killed_runs
from gotd_assets_tests.end_to_end.project import make_project
from gotd_assets_tests.end_to_end.run_history import event_log

STARTED, FAILED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    kept = {
        "event_log_storage": event_log(str(tmp_path / "history")),
        "concurrency": {"pools": {"default_limit": 1, "granularity": "op"}},
    }
    with dg.instance_for_test(overrides=kept) as instance:
        yield instance


@pytest.fixture
def placement(tmp_path: Path) -> Placement:
    return Placement.of_file(make_project(tmp_path / "project"))


def holder(instance: dg.DagsterInstance, pool: str, status: dg.DagsterRunStatus, launcher: str) -> dg.DagsterRun:
    """A run of this status that holds the only slot of the pool."""
    run: dg.DagsterRun = create_run_for_test(instance, status=status, tags={tags.LAUNCHER: launcher})
    assert claims(instance, pool, run.run_id)
    return run


def claims(instance: dg.DagsterInstance, pool: str, run_id: str) -> bool:
    instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
    return bool(instance.event_log_storage.claim_concurrency_slot(pool, run_id, "candidate_embeddings").is_claimed)


@pytest.mark.parametrize("status", [STARTED, FAILED], ids=["killed at work", "killed while its end was noted"])
def test_the_slot_of_a_killed_run_is_free_again(
    instance: dg.DagsterInstance, placement: Placement, status: dg.DagsterRunStatus
) -> None:
    run = holder(instance, placement.pool, status, "gotd run")
    assert not claims(instance, placement.pool, "another")
    warned: list[str] = []
    end_killed_runs(placement, instance, warned.append)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == FAILED
    assert claims(instance, placement.pool, "another")
    assert warned == []


def test_the_slot_of_a_deleted_run_is_free_again(instance: dg.DagsterInstance, placement: Placement) -> None:
    run = holder(instance, placement.pool, STARTED, "somebody")
    instance.run_storage.delete_run(run.run_id)
    end_killed_runs(placement, instance, pytest.fail)
    assert claims(instance, placement.pool, "another")


def test_a_run_of_somebody_else_keeps_its_slot_and_is_named(instance: dg.DagsterInstance, placement: Placement) -> None:
    run = holder(instance, placement.pool, STARTED, "somebody")
    warned: list[str] = []
    end_killed_runs(placement, instance, warned.append)
    assert not claims(instance, placement.pool, "another")
    (sentence,) = warned
    assert f"run {run.run_id} holds the pool compute" in sentence
