"""Targets that are not declared: what stands in the targets folder."""

import re
from collections.abc import Collection
from pathlib import Path

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")
_LONGEST_NAME = 63
# What editors, browsers and copying programs call files that are not finished.
_UNFINISHED = ("~", ".tmp", ".part", ".partial", ".crdownload", ".swp")


def look_into(folder: Path, taken: Collection[str]) -> tuple[dict[str, Path], list[str]]:
    """The targets in `folder` by name, in order of name, and a sentence for everything that cannot be one.

    A subfolder with a file in it and a file are a target each; hidden and unfinished files are not. A name is that of
    the file or folder up to its first dot, in lower case, with '-' for what names do not have.

    Args:
        folder: absolute path.
        taken: names of declared targets, which come first.
    """
    if not folder.is_dir():
        return {}, [f"targets_folder.path {folder} is not a folder: make it, or correct gotd.yaml"]
    found: dict[str, Path] = {}
    problems = []
    for path in sorted(folder.iterdir()):
        if not _is_target(path):
            continue
        name = _NOT_IN_NAMES.sub("-", path.name.split(".")[0].lower()).strip("-_")[:_LONGEST_NAME]
        if not name:
            problems.append(f"{path} cannot be a target: its name needs a letter from a to z or a digit; rename it")
        elif name in taken:
            problems.append(f"{path} is left out: gotd.yaml declares a target {name!r} already; rename one of them")
        elif name in found:
            problems.append(f"{path} is left out: {found[name]} is the target {name!r} already; rename one of them")
        else:
            found[name] = path
    return found, problems


def _is_target(path: Path) -> bool:
    if path.name.startswith(".") or path.name.endswith(_UNFINISHED):
        return False
    if path.is_dir():
        return any(_is_target(child) for child in path.iterdir())
    return path.is_file()
