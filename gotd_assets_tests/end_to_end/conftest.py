"""Projects that several tests look at: each is made once, and not changed by any."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotd_assets_tests.end_to_end.project import gotd, make_project, run_stages_of, until_scores
from gotd_assets_tests.once import made_once


@pytest.fixture(scope="session")
def finished() -> Path:
    """A project after `gotd run` in a process of one thread; bytes follow that number."""
    return made_once("finished", _finish)


@pytest.fixture(scope="session")
def solved() -> Path:
    """A project that has its scores, of a process of one thread too: nothing was selected or trained yet."""
    return made_once("solved", _solve)


def _finish(folder: Path) -> None:
    make_project(folder)
    with _one_thread():
        done = gotd(folder, "run")
    assert done.returncode == 0, done.stdout + done.stderr


def _solve(folder: Path) -> None:
    make_project(folder)
    with _one_thread():
        run_stages_of(folder, until_scores)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
