"""What stands in a folder, or is meant by a pattern, and what of it is left out: the same rule for both.

Links are followed inside the folder (or the part of a pattern before its first sign), and out of it only if asked.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from gotd_assets.settings.text_files import why_left_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIGNS = re.compile(r"[*?\[]")
_ANY_DEPTH = "**"
LEADS_OUT = "a link that leads out of the folder (follow_links is off)"


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not read, and why."""

    path: str
    reason: str


@dataclasses.dataclass
class Walk:
    """The files found below one folder.

    Attributes:
        base: the folder.
        declared_format: of the files; 'auto' goes by their endings.
        follow_links: whether links may lead out of the folder.
        files: found so far.
        left_out: paths that are not read, with the reason.
    """

    base: Path
    declared_format: str
    follow_links: bool
    files: set[Path] = dataclasses.field(default_factory=set)
    left_out: dict[Path, str] = dataclasses.field(default_factory=dict)
    _entered: set[str] = dataclasses.field(default_factory=set)

    @classmethod
    def folder(cls, folder: Path, declared_format: str, *, follow_links: bool) -> Walk:
        """All files in `folder`, at any depth."""
        walk = cls(folder, declared_format, follow_links)
        walk._enter_all(folder, is_pattern=False)
        return walk

    @classmethod
    def pattern(cls, pattern: Path, declared_format: str, *, follow_links: bool) -> Walk:
        """The files that the absolute `pattern` means: * and ? and [] in names, ** for any folders.

        A name with brackets that exists as it is written means itself.
        """
        base = Path(pattern.anchor)
        parts = list(pattern.parts[1:])
        while parts and (not _SIGNS.search(parts[0]) or _is_itself(base, parts[0])):
            base /= parts.pop(0)
        walk = cls(base, declared_format, follow_links)
        if parts:
            walk._match(base, parts)
        return walk

    def _enter_all(self, folder: Path, *, is_pattern: bool) -> None:
        if not self._is_new(folder):
            self.left_out[folder] = "a link to a folder that is read anyway"
            return
        for path in self._children(folder):
            is_folder = path.is_dir()
            if is_folder and path.name.startswith("."):
                if not is_pattern:
                    self.left_out[path] = "hidden"
            elif self._may_follow(path):
                if is_folder:
                    self._enter_all(path, is_pattern=is_pattern)
                elif not (is_pattern and path.name.startswith(".")):
                    self._take(path, path.relative_to(self.base))

    def _match(self, folder: Path, parts: Sequence[str]) -> None:
        part, rest = parts[0], parts[1:]
        if part == _ANY_DEPTH:
            self._match_at_any_depth(folder, rest)
            return
        for path in self._named(folder, part):
            if not self._may_follow(path):
                continue
            if rest and path.is_dir():
                self._match(path, rest)
            elif not rest and path.is_dir():
                self.left_out[path] = "a folder, where the pattern takes files (end it with /** for what is in folders)"
            elif not rest:
                # What the pattern says of a leading dot holds.
                self._take(path, PurePath(path.name.lstrip(".") or path.name))

    def _match_at_any_depth(self, folder: Path, rest: Sequence[str]) -> None:
        if not rest:
            self._enter_all(folder, is_pattern=True)
            return
        if not self._is_new(folder):
            return
        self._match(folder, rest)
        for path in self._children(folder):
            if path.is_dir() and not path.name.startswith(".") and self._may_follow(path):
                self._match_at_any_depth(path, rest)

    def _named(self, folder: Path, part: str) -> list[Path]:
        if not _SIGNS.search(part) or _is_itself(folder, part):
            return [folder / part] if os.path.lexists(folder / part) else []
        children = list(self._children(folder))
        # Brackets that are part of names are tried second.
        for pattern in (part, part.replace("[", "[[]")):
            matches = re.compile(fnmatch.translate(pattern)).match
            found = [path for path in children if matches(path.name)]
            if not part.startswith("."):
                found = [path for path in found if not path.name.startswith(".")]
            if found:
                return found
        return []

    def _children(self, folder: Path) -> Iterator[Path]:
        try:
            children = sorted(folder.iterdir())
        except NotADirectoryError:
            return
        except OSError as error:
            self.left_out[folder] = f"cannot be read ({error.strerror})"
            return
        yield from children

    def _may_follow(self, path: Path) -> bool:
        if not path.is_symlink():
            return True
        if not path.exists():
            self.left_out[path] = "a link that leads nowhere"
        elif self.follow_links or leads_inside(path, self.base):
            return True
        else:
            self.left_out[path] = LEADS_OUT
        return False

    def _is_new(self, folder: Path) -> bool:
        real = os.path.realpath(folder)
        is_new = real not in self._entered
        self._entered.add(real)
        return is_new

    def _take(self, path: Path, inner: PurePath) -> None:
        reason = why_left_out(inner, self.declared_format)
        if reason is None and not path.is_file():
            reason = "no regular file"
        if reason is None:
            self.files.add(path)
        else:
            self.left_out[path] = reason


def leads_inside(path: Path, folder: Path) -> bool:
    """Whether `path`, all links resolved, is in `folder`."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_itself(folder: Path, part: str) -> bool:
    """Whether a name with brackets stands there as it is written."""
    return "*" not in part and "?" not in part and os.path.lexists(folder / part)
