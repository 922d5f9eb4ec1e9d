"""Targets that are not declared: what stands in the targets folder."""

import re
from collections.abc import Collection
from pathlib import Path, PurePath

from gotd_assets.settings.text_files import HIDDEN, UNFINISHED, why_left_out

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")
_LONGEST_NAME = 63
_EMPTY = "no file of text is in it"
_UNSAID = (HIDDEN, UNFINISHED, _EMPTY)


def look_into(
    folder: Path, taken: Collection[str], declared_format: str = "auto", *, follow_links: bool = False
) -> tuple[dict[str, Path], list[str]]:
    """The targets in `folder` by name, in order of name, and a sentence for everything that cannot be one.

    A file of text and a subfolder with one in it are a target each, by the rule of sources; hidden and unfinished files
    are not. A name is that of the file or folder up to its first dot, in lower case, with '-' for what names do not
    have.

    Args:
        folder: absolute path.
        taken: names of declared targets, which come first.
        declared_format: of all files; 'auto' goes by their endings.
        follow_links: whether links may lead out of the folder.
    """
    if not folder.is_dir():
        return {}, [f"targets_folder.path {folder} is not a folder: make it, or correct gotd.yaml"]
    found: dict[str, Path] = {}
    problems = []
    for path in sorted(folder.iterdir()):
        reason = _why_not(path, folder, declared_format, follow_links=follow_links)
        if reason is not None:
            if reason not in _UNSAID:
                problems.append(f"{path} is no target: {reason}")
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


def _why_not(path: Path, folder: Path, declared_format: str, *, follow_links: bool) -> str | None:
    """Why `path` is no target."""
    if path.name.startswith("."):
        return HIDDEN
    if path.is_symlink():
        if not path.exists():
            return "it is a link that leads nowhere"
        if not follow_links and not path.resolve().is_relative_to(folder.resolve()):
            return "it is a link that leads out of the folder; targets_folder.follow_links takes it"
    if path.is_dir():
        return _why_no_folder_of_text(path, declared_format)
    return why_left_out(PurePath(path.name), declared_format) if path.is_file() else "it is no regular file"


def _why_no_folder_of_text(path: Path, declared_format: str) -> str | None:
    try:
        is_target = any(_is_text(child, declared_format) for child in path.rglob("*"))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return None if is_target else _EMPTY


def _is_text(path: Path, declared_format: str) -> bool:
    return path.is_file() and why_left_out(PurePath(path.name), declared_format) is None
