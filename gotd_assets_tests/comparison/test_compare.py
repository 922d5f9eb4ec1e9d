"""`gotd compare` on a small project: by the project's own stations, beside what is current, and continued."""

import json
import os
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner, Result

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.cli.main import app
from gotd_assets.comparison.cells import Comparison
from gotd_assets.comparison.results import read_results
from gotd_assets.comparison.run import make_cells, stages_of
from gotd_assets.errors import SettingsError
from gotd_assets.lineage import LineageStore
from gotd_assets.models.perplexity import PerplexityReport
from gotd_assets.settings.file import load_project
from gotd_assets.stations.work import Silence
from gotd_assets_tests.end_to_end.project import (
    environment,
    inside,
    make_project,
    sentences,
    topic_encoder,
    write_jsonl,
)
from gotd_assets_tests.models.tiny import classifier_folder, model_folder


class Warned(Silence):
    """Notes warnings, and says nothing."""

    def __init__(self, warned: list[str]) -> None:
        self._warned = warned

    def warn(self, message: str) -> None:
        self._warned.append(message)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    make_project(folder, comparison={"methods": ["gotd", "random"], "budgets": [4, 8], "seeds": 2})
    return folder


def gotd(folder: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        patch.setenv("GOTD_SETTINGS", str(folder / "gotd.yaml"))
        patch.chdir(folder)
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False, env=dict(os.environ))


def versions(folder: Path, asset: str) -> set[str]:
    return {path.parent.name for path in (folder / ".gotd" / "artifacts" / asset).rglob("manifest.json")}


@pytest.mark.slow
def test_a_comparison_is_stopped_continued_and_nothing_is_made_twice(folder: Path) -> None:
    stopped = gotd(folder, "compare", "--minutes", "0", "--out", "page")
    assert stopped.exit_code == 0, stopped.output
    assert "4 cells are not trained" in stopped.output
    assert stopped.output.index("8 trainings left, about") < stopped.output.index("select 1/4")
    assert len(versions(folder, "selected_subset")) == 8
    assert not versions(folder, "pre_fine_tuned_model")

    done = gotd(folder, "compare", "--out", "page")
    assert done.exit_code == 0, done.output
    selections, models = versions(folder, "selected_subset"), versions(folder, "pre_fine_tuned_model")
    assert (len(selections), len(models)) == (8, 8)
    # One pool and one embedding for all: only what a seed or a budget changes is another.
    assert len(versions(folder, "candidate_embeddings")) == 2
    again = gotd(folder, "compare", "--out", "page")
    assert versions(folder, "pre_fine_tuned_model") == models
    assert "not complete" not in again.output
    assert "forecast: 0 selections left; 0 trainings left" in again.output

    page = (folder / "page" / "comparison.md").read_text(encoding="utf-8")
    assert page.count("| base model |") == 2
    assert "tokens trained on" in page
    assert "<table>" in (folder / "page" / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_is_current_for_everybody_else_stays_so(folder: Path) -> None:
    store = ArtifactStore(folder / ".gotd" / "artifacts")
    assert not (store.root / ArtifactKey("selected_subset", "film/gotd").relative_path / "CURRENT").exists()
    history = LineageStore(folder / ".gotd" / "lineage.duckdb").audit("selection_history")
    assert history.height == 8
    assert not gotd(folder, "gc", "--older-than", "0").output.count("pre_fine_tuned_model")


@pytest.mark.slow
def test_results_are_those_of_the_artifacts_of_each_cell(folder: Path) -> None:
    comparison = Comparison.of(load_project(folder / "gotd.yaml"))
    results = read_results(comparison)
    assert {key[1:] for key in results.made} == {
        (method, budget, seed) for method in ("gotd", "random") for budget in (4, 8) for seed in (0, 1)
    }
    for (_, method, budget, seed), made in results.made.items():
        assert len(made.doc_ids) == budget
        pointer = folder / f".gotd/artifacts/selected_subset/film/{method}/runs/comparison-film-{budget}-{seed}"
        subset = read_parquet(pointer.parent.parent / pointer.read_text() / "subset.parquet")
        assert subset["doc_id"].to_list() == list(made.doc_ids)
    # Another seed is another draw of the target, of random documents, and of the training.
    draws = results.seeds("film", "random", 8)
    assert draws[0].doc_ids != draws[1].doc_ids
    nll = {seed: made.perplexity.document_nll for seed, made in results.seeds("film", "gotd", 8).items()}
    assert len(nll[0]) == len(nll[1])
    assert nll[0].tolist() != nll[1].tolist()
    verdicts = results.verdicts("film", [4, 8], ["gotd", "random"])
    assert len(verdicts) == 6
    assert {difference.comparisons for difference in verdicts.values()} == {6}
    mean = sum(report.sum() for report in nll.values()) / 2
    base: PerplexityReport = results.bases["film"]
    expected = (mean - base.document_nll.sum()) / base.document_tokens.sum()
    assert verdicts[8, "gotd", "base"].change == pytest.approx(pl.Series([expected]).exp()[0] - 1)


@pytest.mark.slow
def test_the_job_of_that_name_shows_the_page_on_an_asset(folder: Path) -> None:
    with inside(folder), dg.instance_for_test() as instance:
        from gotd_assets.pipeline.graph import build_pipeline
        from gotd_assets.pipeline.placement import Placement

        definitions = build_pipeline(Placement.of_file(folder / "gotd.yaml"))
        assert definitions.resolve_job_def("compare").execute_in_process(instance=instance).success
        event = instance.get_latest_materialization_event(dg.AssetKey("comparison"))
    metadata = event.asset_materialization.metadata
    assert "| base model |" in metadata["comparison"].value
    assert metadata["trainings"].value == 8


@pytest.mark.slow
def test_other_vectors_are_cells_of_their_own(folder: Path) -> None:
    topic_encoder(folder / "other")
    changed = yaml.safe_load((folder / "gotd.yaml").read_text())
    changed["comparison"] |= {"vectors": {"other": {"model": "other", "max_tokens": 8}}}
    (folder / "gotd.yaml").write_text(yaml.safe_dump(changed))
    done = gotd(folder, "compare", "--until-selection", "--out", "vectors")
    assert done.exit_code == 0, done.output
    page = (folder / "vectors" / "comparison.md").read_text(encoding="utf-8")
    assert "| gotd on other | vectors of the target's texts |" in page
    assert "random on other" not in page


@pytest.mark.slow
def test_a_budget_beyond_the_candidates_is_left_out_and_said(folder: Path) -> None:
    changed = yaml.safe_load((folder / "gotd.yaml").read_text())
    changed["comparison"] = {"methods": ["gotd"], "budgets": [4, 100_000], "seeds": 1}
    # Of three documents one or two guide a selection, and labels that occur once teach nothing.
    write_jsonl(folder / "data" / "three.jsonl", sentences("film", 3, 5))
    changed["targets"].append({"name": "three", "path": "data/three.jsonl"})
    (folder / "gotd.yaml").write_text(yaml.safe_dump(changed))
    done = gotd(folder, "compare", "--until-selection", "--out", "small")
    assert done.exit_code == 0, done.output
    page = (folder / "small" / "comparison.md").read_text(encoding="utf-8")
    assert "One seed: intervals are of held-out documents alone" in page
    assert "One method: `gotd` is compared with the base model only" in page
    assert "Left out: film, budget 100000, seed 0" in page
    assert "So few say little of the task" in page.split("## three")[1]


def test_a_classifier_without_the_label_is_told_before_anything_is_made(tmp_path: Path) -> None:
    classifier_folder(tmp_path / "classifier", ["fine", "rude"])
    write_jsonl(tmp_path / "prompts.jsonl", sentences("sport", 5, 3))
    write_jsonl(tmp_path / "data" / "other.jsonl", sentences("sport", 20, 7))
    make_project(
        tmp_path,
        targets=[{"name": "film", "path": "data/target.jsonl"}, {"name": "other", "path": "data/other.jsonl"}],
        toxicity={"model": "classifier"},
        evaluation={"detoxification": [{"target": "film", "path": "prompts.jsonl"}]},
        comparison={"methods": ["random"], "budgets": [4], "seeds": 1},
    )
    comparison = Comparison.of(load_project(tmp_path / "gotd.yaml"), ["film"])
    warned: list[str] = []
    progress = make_cells(comparison, Warned(warned), warned.append)
    why = "toxicity.labels: the model 'classifier' has no label 'toxic'; it has: fine, rude"
    assert progress.failures == {"film, budget 4, seed 0": why}
    assert warned == [f"nothing is made of target film: {why}"]
    assert not (tmp_path / ".gotd" / "artifacts").exists()


def test_labelled_texts_come_before_an_encoder_that_is_tuned_on_them(tmp_path: Path) -> None:
    model_folder(tmp_path / "bert", "bert-headless")
    (tmp_path / "labelled.jsonl").write_text("")
    task = {"target": "film", "path": "labelled.jsonl", "labels": {"a": "w60", "b": "w61"}}
    tuned = {"model": "bert", "tune": {"target": "film"}}
    path = make_project(
        tmp_path,
        evaluation={"classification": [task]},
        comparison={"methods": ["gotd"], "budgets": [4], "seeds": 1, "vectors": {"tuned": tuned}},
    )
    comparison = Comparison.of(load_project(path))
    for cell in comparison.cells:
        assets = [asset for stage in stages_of(comparison, cell, late=False) for asset in stage.assets]
        assert "selected_subset" in assets
        if cell.vectors is None:
            assert not {"labelled_documents", "tuned_encoder"} & set(assets)
        else:
            assert assets.index("labelled_documents") < assets.index("tuned_encoder")


@pytest.mark.slow
def test_labels_that_occur_once_are_a_sentence_and_leave_other_targets_alone(tmp_path: Path) -> None:
    texts = sentences("film", 3, 9)
    rows = ({"text": text, "label": name} for text, name in zip(texts, ("a", "b", "c"), strict=True))
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_jsonl(tmp_path / "data" / "other.jsonl", sentences("sport", 20, 7))
    task = {"target": "film", "path": "labelled.jsonl", "labels": {"a": "w60", "b": "w61", "c": "w62"}, "sizes": [2]}
    make_project(
        tmp_path,
        targets=[{"name": "film", "path": "data/target.jsonl"}, {"name": "other", "path": "data/other.jsonl"}],
        evaluation={"classification": [task]},
        comparison={"methods": ["random"], "budgets": [4], "seeds": 1},
    )
    done = gotd(tmp_path, "compare", "--out", "page")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page" / "comparison.md").read_text(encoding="utf-8").replace("\\", "")
    assert "Left out: film, budget 4, seed 0: evaluation.classification of target 'film'" in page
    assert "add labelled texts, or lower sizes" in page
    assert "| random | 4 |" in page.split("## other")[1]
    assert versions(tmp_path, "pre_fine_tuned_model")


def test_budgets_that_cannot_be_divided_are_asked_for(tmp_path: Path) -> None:
    project = load_project(make_project(tmp_path, selection={"budget": "2%"}))
    assert Comparison.of(project).budgets == ["0.5%", "1%", "2%"]
    with pytest.raises(SettingsError, match="say which budgets"):
        Comparison.of(project.overridden({"selection.budget": "50k tokens"}))
    assert Comparison.of(project.overridden({"selection.budget": 200})).budgets == [50, 100, 200]
    assert [str(arm) for arm in Comparison.of(project).arms] == ["gotd", "random"]
