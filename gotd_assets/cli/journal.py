"""What stations tell, on the terminal."""

from rich.console import Console
from rich.text import Text


class ConsoleJournal:
    """Prints lines of stations below the title of their stage."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def log(self, line: str) -> None:
        """A line for people."""
        self._console.print(f"  {line}", soft_wrap=True)

    def warn(self, line: str) -> None:
        """A line that people should not miss."""
        self._console.print(Text.assemble(("  warning: ", "yellow"), line), soft_wrap=True)

    def observe(self, progress: object) -> None:
        """Its lines say it already."""
