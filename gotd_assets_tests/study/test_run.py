import dataclasses
import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from benchmarks.study.page import write_page
from benchmarks.study.record import StudyRecord
from benchmarks.study.results import Results
from benchmarks.study.run import alone, run_study
from benchmarks.study.verdicts import losses, tallies, verdicts
from gotd_assets.errors import InputError
from gotd_assets_tests.models import tiny
from gotd_assets_tests.once import mlflow_database
from gotd_assets_tests.study import worlds


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A world, where its results are, and what was said while it ran."""
    folder = tmp_path_factory.mktemp("study")
    world = worlds.make_world(folder / "world")
    shutil.copyfile(mlflow_database(), folder / "mlflow.db")
    tracking = dataclasses.replace(tiny.tracking(folder), experiment="study")
    said = []
    assert run_study(world, tracking, said.append)
    return world, tracking, said


@pytest.fixture(scope="module")
def results(finished):
    return Results.read(StudyRecord(finished[1]))


def test_every_cell_is_measured_once(finished, results):
    plan = finished[0].plan
    per_target = len(plan.methods) * plan.seeds
    assert len(results.selections) == len(plan.targets) * per_target * len(plan.budgets)
    assert len(results.trained) == len(plan.targets) * per_target * len(plan.regimes)
    assert len(results.bases) == len(plan.targets) * len(plan.regimes)


def test_runs_are_nested_study_cell_seed(finished):
    from gotd_assets.tracking.server import tracking_client

    client = tracking_client(finished[1].uri)
    experiment = client.get_experiment_by_name("study").experiment_id
    runs = {run.info.run_id: run for run in client.search_runs([experiment], max_results=1000)}
    kinds = {run_id: run.data.tags["gotd.study.kind"] for run_id, run in runs.items()}
    for run_id, run in runs.items():
        parent = run.data.tags.get("mlflow.parentRunId")
        above = {"study": None, "cell": "study"}.get(kinds[run_id], "cell")
        assert (kinds[parent] if parent else None) == above
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_nothing_is_done_twice(finished):
    world, tracking, said = finished
    again = []
    assert run_study(world, tracking, again.append)
    assert said
    assert again == []


def test_more_seeds_add_cells_and_change_none(finished, results, tmp_path):
    world, tracking, _ = finished
    said = []
    more = worlds.with_seeds(world, 3)
    assert not run_study(more, tracking, said.append, minutes=0)
    assert said == []
    grown = Results.read(StudyRecord(tracking))
    assert grown.selections.keys() == results.selections.keys()
    assert len(grown.plan["selection_keys"]) > len(results.plan["selection_keys"])
    run_study(world, tracking, said.append)


def test_gotd_finds_the_rare_domain_and_random_does_not(results):
    assert results.figure("rare_share", "rare", "gotd", 10).value == 1
    assert results.figure("rare_share", "rare", "random", 10).value < 0.5
    assert results.figure("rare_share_of_pool", "rare", "gotd", 10).value == pytest.approx(0.1)


def test_trained_likelihoods_belong_to_the_same_documents(results):
    for target in results.targets:
        ids = {entry.doc_ids for key, entry in results.trained.items() if key[0] == target}
        assert len(ids) == 1
        assert len(next(iter(ids))) == worlds.PLAN.heldout_documents


def test_the_regimes_start_from_different_models(results):
    for target in results.targets:
        published, pretrained = (results.bases[target, regime].nll for regime in worlds.PLAN.regimes)
        assert not np.allclose(published, pretrained)


def test_a_training_does_not_depend_on_those_before_it(finished, results, tmp_path):
    from benchmarks.study.tuning import Tuner

    world, _, _ = finished
    target = world.plan.target("both")
    heldout = world.heldout(target)["text"].to_list()
    tuner = Tuner(world, lambda _: None)
    import polars as pl

    ids = pl.Series("doc_id", results.members["both", "dsir", 10, 1])
    alone_measured = tuner.tune("trained-on-pool", world.texts(ids), heldout, 1)
    assert np.array_equal(alone_measured.report.document_nll, results.trained["both", "trained-on-pool", "dsir", 1].nll)


def test_what_knows_no_target_is_trained_once_and_measured_for_each(results):
    for regime in results.regimes:
        for seed in (0, 1):
            here, there = (results.trainings[target, regime, "random", seed] for target in results.targets)
            assert here["training_seconds"] == there["training_seconds"]
            assert here["perplexity"] != there["perplexity"]


def test_a_selection_is_the_beginning_of_a_larger_one_where_the_ranking_is_the_same(results):
    for method in results.methods:
        small, large = (results.members["both", method, budget, 0] for budget in (5, 10))
        assert small == large[:5]


def test_page_tells_what_was_measured(results, tmp_path):
    page = tmp_path / "study.md"
    write_page([results], page, dt.date(2026, 1, 2))
    text = page.read_text(encoding="utf-8")
    share = results.figure("rare_share", "both", "dsir", 10)
    assert f"{100 * share.value:.1f} %" in text
    assert f"{results.bases['rare', 'as-it-comes'].perplexity:.2f}" in text
    assert "tuned while looking at results" in text
    for name in ("test-shares.svg", "test-perplexity.svg"):
        assert (tmp_path / "study" / name).read_text(encoding="utf-8").startswith("<?xml")
        assert f"study/{name}" in text


def test_a_study_with_other_vectors_is_put_beside_minilms(results, tmp_path):
    page = tmp_path / "study.md"
    plan = results.plan["plan"]
    other = dataclasses.replace(
        results,
        plan={**results.plan, "plan": {**plan, "encoder": "lexical"}},
        selections={key: {**value, "rare_share": 0.123} for key, value in results.selections.items()},
    )
    write_page([other], page, dt.date(2026, 1, 1))
    assert "and with MiniLM's" not in page.read_text(encoding="utf-8")
    write_page([results, other], page, dt.date(2026, 1, 2))
    section = page.read_text(encoding="utf-8").split("## The test, lexical encoder study")[1]
    share = results.figure("rare_share", "rare", "gotd", 10)
    gap = results.difference("rare", "as-it-comes", "gotd", "dsir")
    row = next(line for line in section.splitlines() if line.startswith("| rare | gotd |"))
    assert row.split(" | ")[2:] == [
        f"{100 * share.value:.1f} % ± {100 * share.half_width:.1f}",
        "12.3 % ± 0.0",
        str(gap),
        f"{gap} |",
    ]


def test_page_is_the_same_when_written_again(results, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_page([results], tmp_path / folder / "study.md", dt.date(2026, 1, 2))
    for name in ("study.md", "study/test-shares.svg", "study/test-perplexity.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_sections_of_studies_that_ran_elsewhere_stay(results, tmp_path):
    page = tmp_path / "study.md"
    plan = results.plan["plan"]
    elsewhere = dataclasses.replace(results, plan={**results.plan, "plan": {**plan, "name": "other"}})
    write_page([elsewhere], page, dt.date(2026, 1, 1))
    other = page.read_text(encoding="utf-8")
    write_page([results], page, dt.date(2026, 1, 2))
    both = page.read_text(encoding="utf-8")
    assert "## The test study" in both
    assert both.count("## To be kept in mind") == 1
    start = other.index("## The other study")
    assert other[start : other.index("## To be kept in mind")].strip() in both


def test_losses_name_every_comparison_that_gotd_does_not_win(results):
    told = losses(results)
    whole = [line for line in told if "on its part" not in line]
    for regime in results.regimes:
        for target in results.targets:
            for other in ("random", "dsir", "tapt-c"):
                worse = results.difference(target, regime, "gotd", other).change > 0
                lines = [line for line in whole if line.startswith(f"{target}, {regime}:") and f"`{other}`" in line]
                assert bool(lines) == worse


def test_losses_name_the_part_of_a_mixture_that_suffers(results):
    told = [line for line in losses(results) if "on its part" in line and "`gotd`" in line]
    expected = [
        (regime, domain)
        for regime in results.regimes
        for domain in ("common", "rare")
        if results.difference("both", regime, "gotd", "random", domain).change > 0
    ]
    assert len(told) == len(expected)
    for line, (regime, domain) in zip(told, expected, strict=True):
        assert line.startswith(f"both, {regime}: on its part {domain} ")


def test_promises_follow_the_figures(results):
    found = {(entry.question, entry.target): entry.answer for entry in verdicts(results)}
    assert found["share of the rare domain at least 8 times the pool's", "rare"] == "yes"
    gap = results.difference("rare", "as-it-comes", "gotd", "dsir")
    answer = found["perplexity better than dsir's, interval without zero", "rare, as-it-comes"]
    assert (answer == "yes") == (gap.high < 0)


def test_a_mixture_is_told_apart_by_domain(results):
    whole = results.difference("both", "as-it-comes", "gotd", "random")
    parts = [results.difference("both", "as-it-comes", "gotd", "random", domain) for domain in ("common", "rare")]
    assert sum(part.documents for part in parts) == whole.documents
    ours, theirs = ([results.trained["both", "as-it-comes", m, seed] for seed in (0, 1)] for m in ("gotd", "random"))
    rare = np.array(ours[0].sources) == "rare"
    gap = sum((a.nll - b.nll)[rare].sum() for a, b in zip(ours, theirs, strict=True)) / 2
    assert parts[1].change == pytest.approx(np.expm1(gap / ours[0].tokens[rare].sum()))


def test_tallies_count_every_target_and_regime_once(results):
    plan = worlds.PLAN
    for tally in tallies(results):
        assert sum(tally.counts) == len(plan.targets) * len(plan.regimes)
        gaps = [results.difference(t, r, tally.method, tally.other) for t in results.targets for r in results.regimes]
        assert tally.counts[0] == sum(gap.high < 0 for gap in gaps)


def test_other_methods_may_be_trained_with_fewer_seeds(finished):
    from benchmarks.study.run import _training_cells

    plan = dataclasses.replace(worlds.PLAN, seeds=3, first=("gotd", "random"), other_seeds=1)
    cells = list(_training_cells(plan))
    per_method = {
        method: sum(cell.method == method for cell in cells) / (len(plan.targets) * len(plan.regimes))
        for method in plan.methods
    }
    assert per_method == {"gotd": 3, "random": 3, "dsir": 1, "tapt-c": 1}


def test_two_processes_cannot_be_at_the_same_study(tmp_path):
    with alone(worlds.PLAN, tmp_path), pytest.raises(InputError, match="another process"), alone(worlds.PLAN, tmp_path):
        pass


def test_a_killed_study_loses_one_cell(tmp_path):
    shutil.copyfile(mlflow_database(), tmp_path / "mlflow.db")
    script = textwrap.dedent(
        f"""
        import dataclasses, os, signal, sys
        from pathlib import Path
        from benchmarks.study.run import run_study
        from gotd_assets_tests.study import worlds
        from gotd_assets_tests.models import tiny

        folder = Path({str(tmp_path)!r})
        world = worlds.make_world(folder / "world")
        count = 0

        def say(line):
            global count
            count += line.startswith("selected")
            if count == 5:
                os.kill(os.getpid(), signal.SIGKILL)

        run_study(world, dataclasses.replace(tiny.tracking(folder), experiment="study"), say, train=False)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    tracking = dataclasses.replace(tiny.tracking(tmp_path), experiment="study")
    record = StudyRecord(tracking)
    assert len(record.measurements("selection")) == 5
    world, plan = worlds.open_world(tmp_path / "world"), worlds.PLAN
    said = []
    assert run_study(world, tracking, said.append, train=False)
    assert len(said) == len(plan.targets) * len(plan.methods) * len(plan.budgets) * plan.seeds - 5
