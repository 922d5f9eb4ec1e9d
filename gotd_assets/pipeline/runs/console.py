"""What stations say, on the terminal: a line for each while it works, and what came of it."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gotd_assets.catalogue.durations import in_words
from gotd_assets.catalogue.foreign import visible
from gotd_assets.catalogue.shown import ROW_COUNT

if TYPE_CHECKING:
    import dagster as dg

# Where lines cannot be replaced (a file, a pipe), progress is told this often.
_SECONDS_BETWEEN_LINES = 30.0
_SOON_STALE = contextvars.ContextVar("soon_stale", default=False)
_UP_TO_DATE = "is up to date"
_START_OF_LINE = "\r\x1b[2K"


@contextlib.contextmanager
def soon_stale() -> Iterator[None]:
    """What is logged inside is replaced by the next line on a terminal."""
    token = _SOON_STALE.set(True)
    try:
        yield
    finally:
        _SOON_STALE.reset(token)


class Lines:
    """Lines that stay, and one at the end that is replaced; what stays goes above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_open = False
        self._last = time.monotonic()

    def keep(self, line: str) -> None:
        """Print `line` for good."""
        self.clear()
        self._console.print(line, soft_wrap=True)

    def begin(self) -> None:
        """Something new begins: where lines cannot be replaced, its first one comes after a while."""
        self._last = time.monotonic()

    def replace(self, line: str) -> None:
        """Show `line` in the place of the last such line; where that cannot be, print one now and then."""
        if self._console.is_terminal:
            shown = visible(line)[: max(self._console.width - 1, 1)]
            self._console.file.write(_START_OF_LINE + shown)
            self._console.file.flush()
            self._is_open = True
        elif time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._console.print(line, soft_wrap=True)

    def clear(self) -> None:
        """Take the last line away, if it is one that is replaced."""
        if self._is_open:
            self._console.file.write(_START_OF_LINE)
            self._is_open = False


def terminal_logger(console: Console | None) -> dg.LoggerDefinition:
    """A Dagster logger that shows what stations say, and of the orchestrator's own events that a station is done."""
    import dagster as dg

    @dg.logger
    def terminal(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger("gotd.terminal")
        # Dagster's own events are of this level.
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler() if console is None else ConsoleHandler(console))
        return logger

    return terminal


class ConsoleHandler(logging.Handler):
    """Prints lines of stations."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.DEBUG)
        self._lines = Lines(console)
        self._rows: dict[str, int] = {}
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Show the line of `record`, or that its station is done."""
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        if event is not None:
            self._take(event)
        elif record.levelno >= logging.INFO:
            step, said = str(meta.get("step_key")), str(meta.get("orig_message"))
            line = f"  {said}" if said.startswith(step) else f"  {step}: {said}"
            if _SOON_STALE.get():
                self._lines.replace(line)
            else:
                self._lines.keep(line)
                if _UP_TO_DATE in line:
                    self._said.add(step)

    def _take(self, event: dg.DagsterEvent) -> None:
        """What an event of the orchestrator's says to people: that a station works, or is done."""
        step = str(event.step_key)
        if event.is_step_start:
            self._lines.begin()
            self._said.discard(step)
        elif event.is_step_materialization:
            rows: Any = event.step_materialization_data.materialization.metadata.get(ROW_COUNT)
            if rows is not None:
                self._rows[step] = int(rows.value)
        elif event.is_step_success and step not in self._said:
            rows = f"{self._rows.pop(step):,} rows, " if step in self._rows else ""
            took = event.step_success_data.duration_ms / 1000
            self._lines.keep(f"  {step}: {rows}{in_words(took) if took >= 1 else f'{took:.1f} s'}")
        elif event.is_step_failure:
            self._lines.clear()
