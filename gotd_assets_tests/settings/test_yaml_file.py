"""gotd.yaml: nothing twice, nothing that unfolds without end, and no error that quotes what may be secret."""

from pathlib import Path

import pytest

from gotd_assets.errors import SettingsError
from gotd_assets.settings.file import load_project
from gotd_assets.settings.yaml_file import parse_yaml

REST = "sources: [{name: a, path: a}]\ntargets: [{name: t, path: t}]\nencoder: {model: e}\ntraining: {model: m}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 10)}]\n" for level in range(10)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sources: 1\nhome: 2\nsources: 3\n", r"'sources' stands twice, on lines 1 and 3"),
        ("a: {x: 1, y: 2, x: 3}", r"'x' stands twice, on lines 1 and 1"),
        ("a:\n  - b: 1\n    c: 2\n    b: 3\n", r"'b' stands twice, on lines 2 and 4"),
        (BOMB, "unfold to more than 100,000 values"),
        ("a: &a [*a]", "stands inside what it stands for"),
        ("[" * 5000, "nested too deeply"),
        ("a: 2024-13-45", "month must be"),
        ("a:\n\tb: 1", r"line 2, column 1"),
        ("a: " + "1" * 5000, "digits"),
        ("? [a]\n: 1", "unhashable key"),
        ("a: \0", "unacceptable character"),
    ],
)
def test_each_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        parse_yaml(text, "gotd.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "notify:\n  webhook: 'https://h/hunter2x\n",
        "password: *hunter2x",
        "password: !hunter2x a",
        "a: b: hunter2x",
        "- hunter2x\nb: 1",
        'a: "hunter2x\\q"',
        "a: [hunter2x\nb: }",
    ],
)
def test_no_error_shows_what_stands_in_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "gotd.yaml").write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_project(tmp_path / "gotd.yaml")
    assert "hunter2x" not in str(refused.value)


def test_aliases_merged_sections_and_a_mark_at_the_beginning_are_read() -> None:
    text = "base: &base {x: 1, y: 2}\nother:\n  <<: *base\n  x: 3\n"
    assert parse_yaml(text, "f") == {"base": {"x": 1, "y": 2}, "other": {"x": 3, "y": 2}}
    assert parse_yaml("", "f") is None


@pytest.mark.parametrize("text", ["1: 2", "- a", "a", "", "~: 1"])
def test_a_file_that_is_no_mapping_of_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "gotd.yaml").write_text(text)
    with pytest.raises(SettingsError, match="expected a mapping"):
        load_project(tmp_path / "gotd.yaml")


def test_a_home_in_which_no_database_can_be_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "why?").mkdir()
    (tmp_path / "why?" / "gotd.yaml").write_text("\ufeff" + REST, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"has '\?' in its path"):
        load_project(tmp_path / "why?" / "gotd.yaml")
    folder = Path(str(tmp_path) + "/caf\udce9")
    folder.mkdir()
    (folder / "gotd.yaml").write_text(REST)
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_project(folder / "gotd.yaml")
