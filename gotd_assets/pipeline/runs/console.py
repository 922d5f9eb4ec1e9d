"""What stations say, on the terminal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    import dagster as dg


def terminal_logger(console: Console | None) -> dg.LoggerDefinition:
    """A Dagster logger that shows what stations say, and none of the orchestrator's own events."""
    import dagster as dg

    @dg.logger
    def terminal(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger("gotd.terminal")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler() if console is None else ConsoleHandler(console))
        return logger

    return terminal


class ConsoleHandler(logging.Handler):
    """Prints lines of stations."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print the line of `record`, unless it is an event of the orchestrator's."""
        meta = getattr(record, "dagster_meta", {})
        if meta.get("dagster_event") is None:
            line = f"  {meta.get('step_key')}: {meta.get('orig_message')}"
            self._console.print(line, soft_wrap=True)
