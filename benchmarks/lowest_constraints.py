"""The lowest versions that pyproject.toml promises, as constraints: `python -m benchmarks.lowest_constraints FILE`.

Of packages that only others need, pip takes what goes with these. `make test-lowest` runs the tests on them.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]


def lowest(project: dict[str, object]) -> list[str]:
    """`name==version` for each lower bound of a parsed pyproject.toml: what is needed, the extras, and the dev group."""
    table, groups = project["project"], project["dependency-groups"]
    assert isinstance(table, dict)
    assert isinstance(groups, dict)
    extras = [wanted for extra in table["optional-dependencies"].values() for wanted in extra]
    found = set()
    for text in [*table["dependencies"], *extras, *groups["dev"]]:
        wanted = Requirement(text)
        (bound,) = (each.version for each in wanted.specifier if each.operator == ">=")
        found.add(f"{wanted.name}=={bound}")
    return sorted(found)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    lines = lowest(tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")))
    parser.parse_args().file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
