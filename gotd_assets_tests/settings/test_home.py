"""Folders a project may be in."""

import os
from pathlib import Path

import pytest

from gotd_assets.errors import SettingsError
from gotd_assets.settings.file import load_project
from gotd_assets_tests.settings.test_project import MINIMAL


def _in_folder(folder: Path, home: str = ".gotd") -> Path:
    folder.mkdir()
    (folder / "gotd.yaml").write_text(f"{MINIMAL}home: '{home}'\n")
    return folder / "gotd.yaml"


@pytest.mark.parametrize("name", ["müller", "100% [old]", "a#b", 'it\'s "q"', "$HOME ~;&", "*{a,b}", "電影", "%zz"])
def test_a_project_may_be_in_a_folder_of_any_letters(tmp_path: Path, name: str) -> None:
    assert load_project(_in_folder(tmp_path / name)).home.path == tmp_path / name / ".gotd"


@pytest.mark.parametrize("name", ["what?", "m%41x", "two\nlines", os.fsdecode(b"m\xfcller")])
def test_a_folder_that_would_not_be_found_again_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    file = _in_folder(tmp_path / name)
    with pytest.raises(SettingsError, match="use another folder") as refusal:
        load_project(file)
    str(refusal.value).encode()


def test_a_home_elsewhere_is_looked_at_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"home .*what"):
        load_project(_in_folder(tmp_path / "project", str(tmp_path / "what?")))
