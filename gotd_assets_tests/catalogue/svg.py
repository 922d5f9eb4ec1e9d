"""What a browser makes of a plot in metadata."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree


def drawn(markdown: str) -> ElementTree.Element:
    """The SVG inside `markdown`, which holds nothing else; it is well-formed."""
    found = re.fullmatch(r"!\[[^]]+\]\(data:image/svg\+xml,([^ ()]+)\)", markdown)
    assert found is not None, markdown[:200]
    return ElementTree.fromstring(unquote(found[1]))  # noqa: S314 - our own
