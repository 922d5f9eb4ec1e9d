"""SVG of few characters: Dagster shows Markdown in place only if it has fewer than 1,000, anything longer behind a link."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote
from xml.sax.saxutils import escape

WIDTH = 440
INK, PALE, GREY = "#54d", "#bbe", "#667"
# Words are written in all of these: each has a contrast of at least 4.5 on the picture's own white, whatever the page's theme.
LINES = (INK, "#b50", "#175", "#b37", "#07a", "#863", GREY)
# What may stand as it is in an address inside Markdown; brackets and spaces may not.
_UNQUOTED = "!*',-./:;=@_~"


class Drawing:
    """A picture `WIDTH` pixels wide; places are whole pixels from the top left corner."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._parts: list[str] = []

    def area(self, path: str, colour: str) -> None:
        """A filled path."""
        self._parts.append(f"<path fill='{colour}' d='{path}'/>")

    def line(self, path: str, colour: str, *, width: int = 1, dashed: bool = False) -> None:
        """A drawn path; one of no length is a dot."""
        look = f"stroke='{colour}'" + (f" stroke-width='{width}'" if width > 1 else "")
        look += " stroke-dasharray='4'" if dashed else " stroke-linecap='round'" if width > 1 else ""
        self._parts.append(f"<path fill='none' {look} d='{path}'/>")

    def text(self, x: int, y: int, text: str, colour: str = GREY, anchor: str = "") -> None:
        """One line of text that begins at x; or has its 'middle' or 'end' there."""
        place = (f" x='{x}'" if x else "") + (f" text-anchor='{anchor}'" if anchor else "")
        look = "" if colour == GREY else f" fill='{colour}'"
        self._parts.append(f"<text y='{y}'{place}{look}>{escape(text)}</text>")

    def footer(self, left: str, middle: str, right: str) -> None:
        """What the horizontal axis shows, and from where to where."""
        for x, text, anchor in ((0, left, ""), (WIDTH // 2, middle, "middle"), (WIDTH, right, "end")):
            if text:
                self.text(x, self._height - 3, text, anchor=anchor)

    def markdown(self, title: str) -> str:
        """The picture inside Markdown."""
        opening = (
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{self._height}' "
            f"style='font:11px sans-serif;background:#fff' fill='{GREY}'>"
        )
        return f"![{title}](data:image/svg+xml,{quote(opening + ''.join(self._parts) + '</svg>', safe=_UNQUOTED)})"


def columns(heights: Sequence[int], width: int, bottom: int) -> str:
    """The outline of columns side by side from x = 0, of the given heights above `bottom`."""
    path, at, run = "", 0, 0
    for height, following in zip(heights, [*heights[1:], None], strict=True):
        run += width
        if height != following:
            if height or path:
                path = path or f"M{at},{bottom}"
                path += f"V{bottom - height}h{run}"
            at += run
            run = 0
    return f"{path}V{bottom}z" if path else ""


def bar(x: int, y: int, width: int, height: int) -> str:
    """A rectangle."""
    return f"M{x},{y}h{width}v{height}h-{width}z"


def polyline(points: Sequence[tuple[int, int]]) -> str:
    """Straight lines from point to point; of those on one place only the first."""
    path = f"M{points[0][0]},{points[0][1]}"
    (x, y), drawn = points[0], False
    for nx, ny in points[1:]:
        if (nx, ny) != (x, y):
            path += f"l{nx - x},{ny - y}"
            x, y, drawn = nx, ny, True
    return path if drawn else f"{path}h0"


def number(value: float) -> str:
    """Three figures, as in 1,234, 0.0123 or -4.5e-06."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
