"""The terminal: everything that is printed passes here, and nothing in it acts on the terminal but our own styles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console
from rich.segment import Segment

from gotd_assets.catalogue.foreign import visible

_KEPT = "\n\t"


class Terminal(Console):
    """A console on which text is never markup: styles are said by `style` or a `Text` of our own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """What is printed, with control characters of texts and names written as escapes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, _KEPT), segment.style)


def say(text: str = "", *, error: bool = False) -> None:
    """Print a line as it is, on stderr if it is an `error` or beside the answer."""
    typer.echo(visible(text, _KEPT), err=error)
