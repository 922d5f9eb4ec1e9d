"""YAML as people mean it: nothing twice, nothing that unfolds without end, and errors that quote no line."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from gotd_assets.errors import SettingsError

# A settings file has hundreds of values; with aliases of aliases a file of a kilobyte has billions.
_LARGEST = 100_000
_DEEPEST = 60
_DEEP = re.compile(rf"(?:[\[{{]\s*+){{{_DEEPEST}}}")
_QUOTED = re.compile(r"'[^']{3,}'")


def parse_yaml(text: str, where: str) -> Any:
    """What `text` holds; `where` names it in messages.

    Raises:
        SettingsError: it is not YAML, a name is there twice in one section, or aliases make it unfold too far. The
            message has the line's number but not the line, which may hold a secret.
    """
    if _DEEP.search(text):
        # The parser would take minutes before it gives up.
        raise SettingsError(f"{where}: cannot be read as YAML: its values are nested too deeply")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _size(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        problem = error.problem or error.context or ""
        # An alias or a tag may be a password that wants quotes.
        shown = problem if isinstance(error, _TwiceError) else _QUOTED.sub("'…'", problem)
        raise SettingsError(f"{where}: cannot be read as YAML{line}: {shown}") from None
    except RecursionError:
        raise SettingsError(f"{where}: cannot be read as YAML: its values are nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        raise SettingsError(f"{where}: cannot be read as YAML: {_without_context(error)}") from None


class _TwiceError(yaml.constructor.ConstructorError):
    """A name is there twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """Refuses a name that stands twice in a mapping, and too many levels."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The node that comes next.

        Raises:
            ValueError: it is too many levels down.
        """
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("its values are nested too deeply")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping as a dict.

        Raises:
            _TwiceError: a name is there twice.
        """
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            first = lines.get((key.tag, key.value))
            if first is not None:
                raise _TwiceError(
                    None, None, f"{key.value!r} stands twice, on lines {first} and {line}: keep one", key.start_mark
                )
            lines[key.tag, key.value] = line
        return super().construct_mapping(node, deep=deep)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values `node` unfolds to, its aliases in full.

    Raises:
        ValueError: more than a settings file has, or it holds itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("an alias stands inside what it stands for")
        return known[id(node)]
    known[id(node)] = 0
    children = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    size = 1 + sum(_size(child, known) for child in children)
    if size > _LARGEST:
        raise ValueError(f"its aliases unfold to more than {_LARGEST:,} values")
    known[id(node)] = size
    return size


def _without_context(error: Exception) -> str:
    """What an error says, without the lines that yaml quotes."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
