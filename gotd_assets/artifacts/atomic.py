"""Files and folders that appear whole: written under a temporary name, flushed to disk, then renamed.

What is being written stands in a hidden folder beside its place whose name ends in `.partial`, and which its writer locks.
A folder that nobody locks was left by a killed process: `sweep` removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

_PARTIAL = ".partial"


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A name to write the file `path` under; it takes the place of `path` when the block ends without an exception.

    Nothing has that name yet. A crash at any moment leaves the old content or the new one.
    """
    with _workplace(path.parent, path.name) as workplace:
        partial = workplace / path.name
        yield partial
        flush(partial)
        partial.replace(path)
        flush(path.parent)


@contextlib.contextmanager
def file_made(path: Path) -> Iterator[Path]:
    """As `replaced`, for a file that is made once: if another process was first, its file stays and this one goes."""
    with _workplace(path.parent, path.name) as workplace:
        partial = workplace / path.name
        yield partial
        flush(partial)
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)
        flush(path.parent)


@contextlib.contextmanager
def folder_made(path: Path, *, within: Path | None = None) -> Iterator[Path]:
    """A folder to fill; it appears as `path`, with all that is in it, when the block ends without an exception.

    If another process was first, its folder stays and this one goes. `within` is a folder on the same disk for what is
    being written; by default that of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(within or path.parent, path.name) as workplace:
        partial = workplace / path.name
        partial.mkdir()
        yield partial
        for inner in (partial, *partial.rglob("*")):
            flush(inner)
        try:
            partial.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        flush(path.parent)


def remove_folder(path: Path, *, within: Path) -> None:
    """Remove the folder `path` as a whole: at once it has no name any more, and what a kill leaves goes with a `sweep`.

    `within` is a folder on the same disk for what is being removed.
    """
    with _workplace(within, path.name) as workplace:
        path.rename(workplace / path.name)


def write_atomically(path: Path, content: str) -> None:
    """Replace the text file `path` by `content`; a crash leaves the old content or the new one."""
    with replaced(path) as partial:
        partial.write_text(content, encoding="utf-8")


def sweep(folder: Path) -> int:
    """Remove what killed processes left unfinished in `folder`, not below it; return how many things."""
    removed = 0
    for workplace in folder.glob(f".*{_PARTIAL}"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            descriptor = os.open(workplace, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if workplace.is_dir():
                    shutil.rmtree(workplace)
                else:
                    workplace.unlink()
                removed += 1
            finally:
                os.close(descriptor)
    return removed


def flush(path: Path) -> None:
    """Wait until what was written to the file, or the names in the folder, `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _workplace(folder: Path, name: str) -> Iterator[Path]:
    """A hidden, locked folder in `folder`; it goes, with what is left in it, when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        workplace = folder / f".{name}.{uuid.uuid4().hex}{_PARTIAL}"
        workplace.mkdir()
        try:
            descriptor = os.open(workplace, os.O_RDONLY)
        except FileNotFoundError:
            continue  # a sweep was faster than the lock
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not workplace.exists():
                continue
            yield workplace
            return
        finally:
            shutil.rmtree(workplace, ignore_errors=True)
            os.close(descriptor)
