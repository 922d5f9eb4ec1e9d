"""What stations tell, on the terminal."""

from rich.console import Console
from rich.text import Text

from gotd_assets.pipeline.runs.console import Lines


class ConsoleJournal:
    """Prints lines of stations below the title of their stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = Lines(console)

    def log(self, line: str) -> None:
        """A line for people."""
        self._lines.keep(f"  {line}")

    def progress(self, line: str) -> None:
        """How far a station is."""
        self._lines.replace(f"  {line}")

    def warn(self, line: str) -> None:
        """A line that people should not miss."""
        self._lines.clear()
        self._console.print(Text.assemble(("  warning: ", "yellow"), line), soft_wrap=True)

    def observe(self, progress: object) -> None:
        """Its lines say it already."""
