"""What a run will need is looked at before it begins: what all targets need stops it, what one needs leaves that one out."""

import shutil
from pathlib import Path

import pytest

from gotd_assets.settings.file import load_project
from gotd_assets.settings.project import Project
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.first_look import load_models, problems_ahead
from gotd_assets.stations.workshop import Workshop
from gotd_assets_tests.end_to_end.project import gotd, make_project
from gotd_assets_tests.models.tiny import model_folder

TASK = {"target": "film", "path": "data/labelled.jsonl", "labels": {"0": "bad", "1": "good"}}


def project(folder: Path, **task: object) -> Project:
    return load_project(
        make_project(
            folder,
            targets=[{"name": name, "path": "data/target.jsonl"} for name in ("film", "sport")],
            evaluation={"classification": [{**TASK, **task}]},
        )
    )


def ahead(made: Project) -> dict[str | None, str]:
    stages = GRAPH.stages(made.settings, ["film", "sport"])
    return {target: str(error) for target, error in problems_ahead(GRAPH, made, stages).items()}


def labelled(folder: Path, content: str) -> None:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "labelled.jsonl").write_text(content, encoding="utf-8")


def test_a_sound_project_has_no_problems(tmp_path: Path) -> None:
    labelled(tmp_path, '{"text": "w1 w2", "label": "1"}\n')
    assert ahead(project(tmp_path)) == {}


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        (None, {}, "matches no file"),
        ("", {}, "is empty"),
        ("{noise}\n" * 9, {}, "cannot be read"),
        (
            '{"text": "w1", "kind": 1}\n',
            {},
            "none of the first 1 records of data/labelled.jsonl has a field 'label'; they have: text, kind",
        ),
        ('{"text": "w1", "label": 1}\n', {"text": "body"}, "has a field 'body'"),
    ],
)
def test_a_task_of_one_target_is_told_of_that_target(
    tmp_path: Path, content: str | None, changes: dict[str, object], said: str
) -> None:
    if content is not None:
        labelled(tmp_path, content)
    found = ahead(project(tmp_path, **changes))
    assert list(found) == ["film"]
    assert said in found["film"]


@pytest.mark.parametrize("name", ["encoder", "model"])
def test_models_are_needed_by_all_and_told_once(tmp_path: Path, name: str) -> None:
    labelled(tmp_path, '{"text": "w1 w2", "label": "1"}\n')
    made = project(tmp_path)

    def weights() -> Path:
        return tmp_path / name / "model.safetensors"

    weights().write_bytes(weights().read_bytes()[:-20])
    found = ahead(made)
    assert list(found) == [None]
    assert found[None].count("is cut off") == 1
    _, problems = Workshop(made).plan(GRAPH.stages(made.settings, ["film", "sport"]))
    assert sum("is cut off" in problem for problem in problems) == 1


def test_a_model_that_cannot_be_trained_is_told_before_anything_is_made(tmp_path: Path) -> None:
    """Its files are sound; that it is no causal model shows only when it is loaded."""
    labelled(tmp_path, '{"text": "w1 w2", "label": "1"}\n')
    made = project(tmp_path)
    shutil.rmtree(tmp_path / "model")
    model_folder(tmp_path / "model", "bert")
    done = gotd(tmp_path, "run")
    assert done.returncode == 2
    assert "is not causal" in done.stderr
    assert not list(made.home.artifacts.rglob("manifest.json"))


def test_models_are_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(tmp_path, '{"text": "w1 w2", "label": "1"}\n')
    made = project(tmp_path)
    stages = GRAPH.stages(made.settings, ["film"])
    load_models(GRAPH, made, stages)
    monkeypatch.setattr("gotd_assets.models.language.load_language_model", None)
    monkeypatch.setattr("gotd_assets.embedding.embed.load_encoder", None)
    load_models(GRAPH, made, stages)
    shutil.rmtree(tmp_path / "model")
    model_folder(tmp_path / "model", "llama")
    with pytest.raises(TypeError):
        load_models(GRAPH, made, stages)
