"""Dagster's record of runs, opened for commands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import dagster as dg

from gotd_assets.artifacts.lock import held
from gotd_assets.errors import GotdError
from gotd_assets.settings.project import Project


@contextlib.contextmanager
def dagster_instance(project: Project) -> Iterator[dg.DagsterInstance]:
    """The instance that DAGSTER_HOME names; by default that of the project's folder, which becomes the working directory.

    Its databases are made when they are first opened, and two processes that make them at a time break one another: one
    after the other opens them here, and servers are started once they are there.

    Raises:
        GotdError: its database cannot be used.
    """
    from sqlalchemy.exc import SQLAlchemyError

    home = os.environ.setdefault("DAGSTER_HOME", str(project.root))
    # The file-based instance and the code location are relative to the project's folder.
    os.chdir(project.root)
    try:
        with contextlib.ExitStack() as opened:
            project.home.dagster.mkdir(parents=True, exist_ok=True)
            with held(project.home.dagster / "opening.lock"):
                instance = opened.enter_context(dg.DagsterInstance.get())
            yield instance
    except SQLAlchemyError as error:
        raise GotdError(
            f"Dagster's storage cannot be used ({getattr(error, 'orig', None) or error}). Which one that is says "
            f"dagster.yaml in {home}; a file of it that is damaged can be removed: run history is lost, nothing else"
        ) from error
