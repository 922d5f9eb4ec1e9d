"""What stands in the targets folder is a target, and what cannot be one is told."""

from pathlib import Path

import pytest

from gotd_assets.errors import SettingsError
from gotd_assets.settings.file import load_project
from gotd_assets.settings.targets_folder import look_into

REST = "sources: [{name: a, path: a}]\nencoder: {model: e}\ntraining: {model: m}\n"


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def test_folders_and_files_are_targets(tmp_path: Path) -> None:
    for name in ("film/a.jsonl", "Legal texts.jsonl.gz", ".hidden.jsonl", "half.jsonl.tmp", "film/b.jsonl"):
        put(tmp_path / name)
    (tmp_path / "empty").mkdir()
    found, problems = look_into(tmp_path, ())
    assert found == {"film": tmp_path / "film", "legal-texts": tmp_path / "Legal texts.jsonl.gz"}
    assert problems == []


def test_names_that_clash_or_cannot_be_are_told_and_the_others_stand(tmp_path: Path) -> None:
    for name in ("film.csv", "film.jsonl", "sport.csv", "日本.txt", "other.txt"):
        put(tmp_path / name)
    found, problems = look_into(tmp_path, {"sport"})
    assert set(found) == {"film", "other"}
    assert len(problems) == 3
    assert any("sport.csv" in line and "gotd.yaml declares" in line for line in problems)


def test_settings_know_them(tmp_path: Path) -> None:
    (tmp_path / "gotd.yaml").write_text(REST + "targets_folder: {path: t, fields: {text: body}, direction: away}\n")
    project = load_project(tmp_path / "gotd.yaml")
    assert project.settings.targets == []
    assert "is not a folder" in project.problems[0]
    put(tmp_path / "t" / "film.jsonl")
    target = load_project(tmp_path / "gotd.yaml").settings.target("film")
    assert target.path == tmp_path / "t" / "film.jsonl"
    assert (target.fields.text, target.direction) == ("body", "away")


def test_there_must_be_some_way_to_have_targets(tmp_path: Path) -> None:
    (tmp_path / "gotd.yaml").write_text(REST)
    with pytest.raises(SettingsError, match="targets_folder"):
        load_project(tmp_path / "gotd.yaml")
