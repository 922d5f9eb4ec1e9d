"""What was selected, on the terminal as soon as it is: before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.catalogue.foreign import one_line
from gotd_assets.errors import ArtifactError
from gotd_assets.settings.project import Project

_BEST = 5
_WIDTH = 90


class SelectionsShown:
    """Shows, once, what a run selected anew by the first method of each target.

    Args:
        project: as the run begins.
        targets: names of those that it is for.
        console: to print on.
    """

    def __init__(self, project: Project, targets: Sequence[str], console: Console) -> None:
        self._store = ArtifactStore.of(project)
        self._keys = {
            target: ArtifactKey("selected_subset", f"{target}/{project.settings.selection.methods[0]}")
            for target in targets
        }
        self._console = console
        self._known = {target: self._version(target) for target in targets}

    def show(self) -> None:
        """Print those whose version is another than when the run began."""
        for target, known in self._known.items():
            selection = self._current(target)
            if selection is not None and selection.version != known:
                _print(target, selection, self._console)
            self._known[target] = self._version(target)

    def _current(self, target: str) -> Artifact | None:
        try:
            return self._store.current(self._keys[target])
        except ArtifactError:
            return None

    def _version(self, target: str) -> str | None:
        selection = self._current(target)
        return None if selection is None else selection.version


def _print(target: str, selection: Artifact, console: Console) -> None:
    frame = read_parquet(selection.file("subset.parquet"))
    method = str(selection.manifest.parameters["method"])
    per_source = frame.group_by("source", maintain_order=True).len().sort("len", descending=True).iter_rows()
    shares = ", ".join(f"{count / frame.height:.0%} {source}" for source, count in per_source)
    console.rule(Text.assemble("selected for ", (target, "bold"), f" by {method}"), align="left")
    table = Table("rank", "source", "text", title=f"the best of {frame.height:,}: {shares}", title_justify="left")
    for rank, source, text in frame.head(_BEST).select("rank", "source", "text").iter_rows():
        table.add_row(str(rank), source, one_line(text, _WIDTH))
    console.print(table)
