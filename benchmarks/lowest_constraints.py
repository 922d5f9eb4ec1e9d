"""The lowest versions that pyproject.toml promises, as constraints: `python -m benchmarks.lowest_constraints FILE`.

Of packages that only others need, pip takes what goes with these. `make test-lowest` runs the tests on them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

REPOSITORY = Path(__file__).parents[1]


def bounds(project: dict[str, Any]) -> dict[str, Version]:
    """The lower bound of every package in a parsed pyproject.toml: what is needed, the extras, and the dev group."""
    table, groups = project["project"], project["dependency-groups"]
    extras = [wanted for extra in table["optional-dependencies"].values() for wanted in extra]
    found: dict[str, Version] = {}
    for text in [*table["dependencies"], *extras, *groups["dev"]]:
        wanted = Requirement(text)
        (bound,) = (Version(each.version) for each in wanted.specifier if each.operator == ">=")
        found[wanted.name] = max(bound, found.get(wanted.name, bound))
    return found


def lowest(name: str, bound: Version) -> Version:
    """The lowest release of a package from its bound on that the registry has, by `pip index versions`."""
    command = [sys.executable, "-m", "pip", "index", "versions", name]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in told.splitlines() if line.startswith("Available versions:"))
    versions = [Version(text) for text in line.partition(":")[2].split(",")]
    return min(version for version in versions if version >= bound)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    wanted = bounds(tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")))
    with ThreadPoolExecutor() as threads:
        found = threads.map(lowest, wanted.keys(), wanted.values())
    lines = [f"{name}=={version}" for name, version in sorted(zip(wanted, found, strict=True))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
