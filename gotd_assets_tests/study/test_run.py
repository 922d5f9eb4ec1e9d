"""A small study, run by the product's own comparison."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from benchmarks.study.project import Study
from benchmarks.study.results import StudyResults, read_study
from benchmarks.study.run import run_study, trained
from gotd_assets.artifacts.run_lock import alone
from gotd_assets.errors import GotdError
from gotd_assets.stations.work import Silence
from gotd_assets_tests.study import worlds


def run(study: Study, *, train: bool = True) -> list[str]:
    """Run what is missing; what was announced."""
    said: list[str] = []
    assert run_study(study, Silence(), said.append, train=train)
    return said


def versions(study: Study, asset: str) -> dict[Path, int]:
    """Every artifact of `asset`, and when it was made."""
    folder = study.folder / ".gotd" / "artifacts" / asset
    return {path: path.stat().st_mtime_ns for path in folder.rglob("manifest.json")}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return worlds.make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def finished(study: Study) -> Study:
    run(study)
    return study


@pytest.fixture(scope="module")
def results(finished: Study) -> StudyResults:
    return read_study(finished)


def test_a_share_of_every_target_is_the_sample_that_the_plan_wants(study: Study) -> None:
    comparison = study.comparison
    assert study.pool_documents == worlds.SIZES
    assert round(comparison.project.settings.comparison.target_share * 20) == worlds.PLAN.target_documents
    assert [str(arm) for arm in comparison.arms] == [*worlds.PLAN.methods]
    assert len(comparison.cells) == 8


def test_other_methods_may_be_trained_with_fewer_seeds(study: Study) -> None:
    plan = dataclasses.replace(worlds.PLAN, seeds=3, first=("gotd", "random"), other_seeds=1)
    comparison = Study(plan, study.folder).comparison
    counts = dict.fromkeys(plan.methods, 0)
    for first in (True, False):
        for part in trained(comparison, plan, first=first):
            for cell in part.cells:
                assert cell.budget == plan.training_budget
                for arm in part.arms_of(cell):
                    counts[arm.method] += 1
    targets = len(plan.targets)
    assert counts == {"gotd": 3 * targets, "random": 3 * targets, "dsir": targets, "tapt-c": targets}


def test_two_processes_cannot_be_at_the_same_study(study: Study) -> None:
    with alone(study.project.home), pytest.raises(GotdError, match="another `gotd run` is working"):
        run(study)


@pytest.mark.slow
def test_every_cell_is_measured_once(results: StudyResults) -> None:
    plan = results.plan
    per_target = len(plan.methods) * plan.seeds
    assert len(results.selections) == len(results.seconds) == len(plan.targets) * per_target * len(plan.budgets)
    assert len(results.trained) == len(plan.targets) * per_target * len(plan.regimes)
    assert all(results.base(target, regime) for target in results.targets for regime in results.regimes)


@pytest.mark.slow
def test_nothing_is_done_twice(finished: Study, results: StudyResults) -> None:
    made = {asset: versions(finished, asset) for asset in ("selected_subset", "pre_fine_tuned_model")}
    assert made["pre_fine_tuned_model"]
    run(finished)
    assert {asset: versions(finished, asset) for asset in made} == made
    assert read_study(finished).seconds == results.seconds


@pytest.mark.slow
def test_more_seeds_add_cells_and_change_none(finished: Study, results: StudyResults) -> None:
    more = Study(dataclasses.replace(finished.plan, seeds=3, regimes=("as-it-comes",)), finished.folder)
    run(more, train=False)
    grown = read_study(more).selections
    assert len(grown) == len(results.selections) * 3 // 2
    assert all(grown[key].doc_ids == made.doc_ids for key, made in results.selections.items())


@pytest.mark.slow
def test_gotd_finds_the_rare_domain_and_random_does_not(results: StudyResults) -> None:
    assert results.rare_share("rare", "gotd", 10).value == 1
    assert results.rare_share("rare", "random", 10).value < 0.5
    assert results.pool_share("rare") == pytest.approx(0.1)


@pytest.mark.slow
def test_trained_likelihoods_belong_to_the_same_documents(results: StudyResults) -> None:
    for target in results.targets:
        domains = results.heldout_domains[target]
        assert len(domains) == worlds.PLAN.heldout_documents
        assert {*domains} == {*results.plan.target(target).domains}
        tokens = {tuple(made.perplexity.document_tokens) for key, made in results.trained.items() if key[0] == target}
        assert len(tokens) == 1
        assert len(next(iter(tokens))) == worlds.PLAN.heldout_documents


@pytest.mark.slow
def test_the_regimes_start_from_different_models(results: StudyResults) -> None:
    for target in results.targets:
        published, pretrained = (results.base(target, regime).document_nll for regime in worlds.PLAN.regimes)
        assert not np.allclose(published, pretrained)


@pytest.mark.slow
def test_the_regimes_have_the_same_selections(results: StudyResults) -> None:
    published, pretrained = (results.comparisons[regime].made for regime in worlds.PLAN.regimes)
    of_training = {key: made for key, made in published.items() if key[2] == worlds.PLAN.training_budget}
    assert pretrained.keys() >= of_training.keys()
    assert all(pretrained[key].doc_ids == made.doc_ids for key, made in of_training.items())


@pytest.mark.slow
def test_a_selection_is_the_beginning_of_a_larger_one_where_the_ranking_is_the_same(results: StudyResults) -> None:
    for method in results.methods:
        small, large = (results.selections["both", method, budget, 0].doc_ids for budget in (5, 10))
        assert list(small) == list(large)[:5]


@pytest.mark.slow
def test_a_killed_study_goes_on_where_it_was(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from benchmarks.study.run import run_study
        from gotd_assets.stations.work import Silence
        from gotd_assets_tests.study import worlds

        def say(line):
            if line.startswith("select 3/"):
                os.kill(os.getpid(), signal.SIGKILL)

        run_study(worlds.make_study(Path({str(tmp_path)!r})), Silence(), say, train=False)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    study = Study(worlds.PLAN, tmp_path)
    before = versions(study, "selected_subset")
    assert len(before) == 2 * len(worlds.PLAN.methods)
    run(study, train=False)
    after = versions(study, "selected_subset")
    assert before.items() <= after.items()
    assert len(after) == len(study.comparison.cells) * len(worlds.PLAN.methods)
