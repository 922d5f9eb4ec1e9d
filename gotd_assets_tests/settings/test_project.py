"""gotd.yaml: every wrong field is named by its path, the environment wins, the documentation is current."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gotd_assets.cli.settings_reference import reference
from gotd_assets.errors import SettingsError
from gotd_assets.models.language import model_version
from gotd_assets.settings.file import load_project
from gotd_assets.settings.training import PAPER_MODELS, TrainingSettings

MINIMAL = """
sources: [{name: news, path: news.jsonl}]
targets: [{name: film, path: film.jsonl}]
encoder: {model: encoder}
training: {model: model}
"""


def load(tmp_path: Path, text: str):
    (tmp_path / "gotd.yaml").write_text(text)
    return load_project(tmp_path / "gotd.yaml")


def test_a_minimal_file_has_defaults_for_the_rest(tmp_path: Path) -> None:
    project = load(tmp_path, MINIMAL)
    assert project.home.path == tmp_path / ".gotd"
    assert project.settings.selection.methods == ["gotd", "random"]
    assert project.settings.target("film").direction == "toward"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            MINIMAL.replace("encoder: {model: encoder}", ""),
            "encoder: it is required; write, for example, encoder: {model: FOLDER}",
        ),
        (
            MINIMAL.replace("{model: model}", "{seed: 1}"),
            "training.model: it is required; write, for example, model: FOLDER",
        ),
        (MINIMAL.replace("name: news, ", ""), "sources[0].name: it is required; write, for example, name: web"),
        (
            MINIMAL.replace("sources", "source"),
            "sources: it is required; write, for example, sources: [{name: web, path: ",
        ),
        (
            MINIMAL.replace("targets: [{name: film, path: film.jsonl}]", ""),
            "write, for example, targets: [{name: support",
        ),
        (
            MINIMAL.replace("training: {model: model}", "evaluation: {detoxification: [{target: film, path: a}]}"),
            "write, for example, training: {model: FOLDER}",
        ),
    ],
)
def test_what_is_missing_is_shown_as_it_is_written(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert sentence in str(caught.value)


def test_a_project_may_do_without_training(tmp_path: Path) -> None:
    project = load(tmp_path, MINIMAL.replace("training: {model: model}", ""))
    assert project.settings.training is None
    with pytest.raises(SettingsError, match="trains nothing"):
        project.overridden({"training.seed": 1})


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (MINIMAL.replace("path: film.jsonl", "path: film.jsonl, direction: up"), "targets[0].direction"),
        (MINIMAL.replace("name: news", "name: News Paper"), "sources[0].name"),
        (MINIMAL + "transport: {epsilon: -1}", "transport.epsilon"),
        (MINIMAL + "transport: {sketch: {sise: 3}}", "transport.sketch.sise"),
        (MINIMAL + "selection: {methods: [gotd, gotd]}", "selection"),
        (MINIMAL + "selection: {methods: [gotd, best]}", "selection.methods: Value error, there is no method 'best'"),
        (MINIMAL + "selection: {budget: 5 words}", "selection.budget"),
        (MINIMAL + "selection: {methods: [gotd-toward-and-away]}", "needs away_target"),
        (MINIMAL + "selection: {away_target: spam}", "selection.away_target: there is no target 'spam'"),
        (MINIMAL + "selection: {nearest_sources: 2}", "selection.nearest_sources is 2"),
        (MINIMAL + "selection: {tsds: {sigma: -1}}", "selection.tsds.sigma"),
        (
            MINIMAL.replace("path: film.jsonl", "path: film.jsonl, direction: away") + "selection: {methods: [tsds]}",
            "selection.methods: 'tsds' aligns with a target",
        ),
        (MINIMAL.replace("[{name: news, path: news.jsonl}]", "[]"), "sources"),
        (MINIMAL.replace("path: news.jsonl}", "path: a}, {name: news, path: b}"), "sources[1].name"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert field in str(caught.value)


def test_all_wrong_fields_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="2 wrong setting"):
        load(tmp_path, MINIMAL + "transport: {epsilon: -1}\nselection: {budget: 0}")


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTD_TRANSPORT__EPSILON", "0.25")
    monkeypatch.setenv("GOTD_HOME", "elsewhere")
    project = load(tmp_path, MINIMAL + "transport: {epsilon: 0.5, tolerance: 0.1}")
    assert project.settings.transport.epsilon == 0.25
    assert project.settings.transport.tolerance == 0.1
    assert project.home.path == tmp_path / "elsewhere"


@pytest.mark.parametrize("text", ["a: [", "- 1", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"gotd\.yaml"):
        load(tmp_path, text)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOTD_SETTINGS", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="does not exist: run in the project's folder"):
        load_project()
    monkeypatch.setenv("GOTD_SETTINGS", str(tmp_path / "other.yaml"))
    with pytest.raises(SettingsError, match="GOTD_SETTINGS"):
        load_project()


def test_the_reference_is_current() -> None:
    written = Path(__file__).parents[2] / "docs" / "settings.md"
    assert written.read_text(encoding="utf-8") == reference(), "run `make docs`"


@pytest.mark.parametrize("name", sorted(PAPER_MODELS))
def test_a_model_of_the_paper_brings_its_optimisation_and_can_be_changed(name: str) -> None:
    settings = TrainingSettings(model=f"paper:{name}", learning_rate=0.5)
    assert settings.model == PAPER_MODELS[name]["model"]
    assert settings.epochs == PAPER_MODELS[name]["epochs"]
    assert settings.learning_rate == 0.5
    assert model_version(settings, Path()) == f"{settings.model}@{settings.revision}"


def test_an_unknown_model_of_the_paper_is_told_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match="no 'gpt5'; known are: paper:gpt2, paper:gpt2-xl"):
        TrainingSettings(model="paper:gpt5")


def test_what_is_said_of_a_cluster_needs_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="actors is for engine 'ray'"):
        load(tmp_path, MINIMAL + "compute: {actors: 3}")
    project = load(tmp_path, MINIMAL + "compute: {engine: ray, actors: 3}")
    assert project.settings.compute.actors == 3
