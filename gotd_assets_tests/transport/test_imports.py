"""The solver stands on PyTorch and NumPy alone, so that it could be published by itself."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import gotd_assets.transport

ROOM = Path(gotd_assets.transport.__file__).parent
NEEDED = {"torch", "numpy"}
# Imported by who asks for a kmeans sketch, for geomloss as the solver, for a file.
ASKED_FOR = {"faiss", "geomloss", "safetensors"}
OURS = ("gotd_assets.transport", "gotd_assets.errors", "gotd_assets.execution")


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Every module that is imported, and whether with the file."""
    at_the_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, id(node) in at_the_top) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module), id(node) in at_the_top


def test_nothing_else_is_imported() -> None:
    files = sorted(ROOM.glob("*.py"))
    assert len(files) > 20
    for file in files:
        for name, at_the_top in imports(ast.parse(file.read_text(encoding="utf-8"))):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names:
                continue
            if top == "gotd_assets":
                assert name.startswith(OURS), f"{file.name} imports {name}"
            else:
                assert top in (NEEDED if at_the_top else NEEDED | ASKED_FOR), f"{file.name} imports {name}"
