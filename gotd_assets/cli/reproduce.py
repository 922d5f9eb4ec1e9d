"""`gotd reproduce`: make a recorded selection again in a home of its own and compare it byte for byte."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from gotd_assets.cli.journal import ConsoleJournal
from gotd_assets.reproduction.reproduce import Reproduction
from gotd_assets.reproduction.reproduce import reproduce as make_again
from gotd_assets.settings.project import Project


def reproduce(
    project: Project, version: str, console: Console, *, everything: bool, keep: Path | None, files: Path | None
) -> bool:
    """Make the selection `version` again, tell how it came out, and return whether every byte is as recorded.

    Raises:
        GotdError: it is not in the record, a file it was made from changed, or a station failed.
    """
    outcome = make_again(
        project,
        version,
        journal=ConsoleJournal(console),
        announce=lambda number, total, title: console.rule(
            Text.assemble((f"{number}/{total}", "bold"), f" {title}"), align="left"
        ),
        everything=everything,
        keep=keep,
        files=files,
    )
    if outcome.found:
        _tell_differences(outcome, console)
    else:
        selection = outcome.selection
        files_size = sum(size for size, _ in selection.files.values())
        console.print(
            Text("reproduced", "green"),
            f"{selection.key} version {selection.version}: {len(selection.files)} files, {files_size:,} bytes, all equal to "
            "the record",
        )
    return not outcome.found


def _tell_differences(outcome: Reproduction, console: Console) -> None:
    version = outcome.selection.version
    console.print(Text("not reproduced", "bold red"), f"version {version} came out differently")
    lines = [f"{difference.artifact}: {difference.sentence}" for difference in outcome.found]
    if outcome.first_row is not None:
        lines.append(f"subset.parquet: {outcome.first_row}")
    for line in (*lines, *outcome.notes):
        console.print(f"  {line}", soft_wrap=True)
