"""What stations say, in the log of a Dagster run."""

from __future__ import annotations

import dagster as dg

from gotd_assets.catalogue.foreign import visible
from gotd_assets.pipeline.runs.console import soon_stale


class RunLog:
    """A `Journal` whose lines are those of the run."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context

    def log(self, line: str) -> None:
        """A line."""
        self._context.log.info(visible(line))

    def progress(self, line: str) -> None:
        """A line that on a terminal is replaced by the next."""
        with soon_stale():
            self.log(line)

    def warn(self, line: str) -> None:
        """A warning."""
        self._context.log.warning(visible(line))

    def observe(self, progress: object) -> None:
        """Nothing beside the lines."""
