"""`gotd audit`, `verify`, `forget`, `backup`, `restore`, `openlineage`: the lineage store from the command line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from gotd_assets.catalogue.foreign import spreadsheet
from gotd_assets.cli.errors import DIFFERENT, Commands
from gotd_assets.cli.project import project_here
from gotd_assets.cli.terminal import Terminal, say

if TYPE_CHECKING:
    import polars as pl

    from gotd_assets.lineage import Audit, LineageStore

Format = Literal["table", "json", "csv", "parquet"]
DatabaseOption = Annotated[
    Path | None, typer.Option("--database", help="Lineage database; by default that of the project in gotd.yaml.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to write the answer.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write the answer to this file.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait while others write.")]
RowsOption = Annotated[int, typer.Option("--rows", min=1, help="Rows to show in a table.")]

commands = typer.Typer(cls=Commands, no_args_is_help=True)


@commands.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def audit(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which audit; `gotd audit --list` shows them all.")] = None,
    *,
    list_audits: Annotated[bool, typer.Option("--list", help="Show every audit with its parameters.")] = False,
    format_: FormatOption = "table",
    output: OutputOption = None,
    rows: RowsOption = 50,
    database: DatabaseOption = None,
    timeout: TimeoutOption = 120,
) -> None:
    """Ask the lineage database a question: `gotd audit why_document --document 3fa94c1e`."""
    from gotd_assets.lineage.audits import all_audits, find

    if list_audits or name is None:
        _list_audits(all_audits())
        return
    parameters = _parameters(find(name), context.args)
    _write(_store(database, timeout).audit(name, **parameters), format_, output, rows)


@commands.command()
def verify(
    artifacts: Annotated[Path | None, typer.Option(help="Where the artifacts are now, if the home has moved.")] = None,
    *,
    format_: FormatOption = "table",
    output: OutputOption = None,
    rows: RowsOption = 50,
    database: DatabaseOption = None,
    timeout: TimeoutOption = 120,
) -> None:
    """Compare every recorded file with its checksum; exits with 1 if an artifact's file is missing or altered.

    What the home's cache let go is read from the object store.
    """
    import polars as pl

    from gotd_assets.artifacts.store import ArtifactStore

    stored = None
    if artifacts is None and database is None:
        project = project_here()
        artifacts, stored = project.home.artifacts, ArtifactStore.of(project).is_stored
    found = _store(database, timeout).verify(artifacts, stored=stored)
    differing = found.filter(~pl.col("state").is_in(["intact", "remote"]))
    if differing.height or format_ != "table":
        _write(differing, format_, output, rows)
    counts = found.group_by("kind", "state").len().sort("kind", "state")
    for kind, state, count in counts.iter_rows():
        say(f"{count:,} {kind}(s) {state}", error=True)
    damaged = differing.filter((pl.col("kind") == "file") & (pl.col("state") != "artifact removed"))
    if damaged.height:
        raise typer.Exit(DIFFERENT)


@commands.command()
def forget(
    documents: Annotated[list[str], typer.Argument(help="doc_ids, or their first 8 or more hex digits.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    format_: FormatOption = "table",
    output: OutputOption = None,
    rows: RowsOption = 50,
    database: DatabaseOption = None,
    timeout: TimeoutOption = 120,
) -> None:
    """Keep documents out of everything built from now on, and list what holds them or learned from them."""
    _write(_store(database, timeout).forget(documents, reason), format_, output, rows)


@commands.command()
def backup(
    destination: Annotated[Path, typer.Argument(help="File to write, or a folder for a dated one.")],
    database: DatabaseOption = None,
    timeout: TimeoutOption = 120,
) -> None:
    """Copy the lineage database, whole and checked, while the project goes on working."""
    say(str(_store(database, timeout).backup(destination)))


@commands.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A file that `gotd backup` wrote.")],
    database: DatabaseOption = None,
    timeout: TimeoutOption = 120,
) -> None:
    """Put a backup in the place of the lineage database, which is set aside."""
    from gotd_assets.lineage import LineageStore

    path = _database(database)
    former = LineageStore.restore(path, source, timeout_seconds=timeout)
    LineageStore(path, timeout_seconds=timeout)
    say(f"{path} is restored from {source}")
    if former is not None:
        say(f"the former database is {former}")


@commands.command()
def openlineage(
    output: OutputOption = None,
    run: Annotated[str | None, typer.Option(help="Only the materialisations of this Dagster run.")] = None,
    namespace: Annotated[str, typer.Option(help="OpenLineage namespace of jobs and datasets.")] = "gotd-assets",
    database: DatabaseOption = None,
    timeout: TimeoutOption = 120,
) -> None:
    """Write every materialisation as an OpenLineage run event, one JSON object per line."""
    events = _store(database, timeout).openlineage_events(namespace=namespace, run_id=run)
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _database(given: Path | None) -> Path:

    return given if given is not None else project_here().home.lineage


def _store(given: Path | None, timeout: float) -> LineageStore:
    from gotd_assets.errors import LineageError
    from gotd_assets.lineage import LineageStore

    path = _database(given)
    if not path.exists():
        raise LineageError(f"{path} does not exist: nothing has been materialised yet in this project")
    return LineageStore(path, timeout_seconds=timeout)


def _parameters(audit: Audit, arguments: Sequence[str]) -> dict[str, object]:
    """`--name value` and `--name=value` as a dict; a single bare value is the audit's first parameter."""
    parameters: dict[str, object] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            if parameters or not audit.parameters:
                raise typer.BadParameter(f"unexpected {argument!r}: write parameters as --name value")
            parameters[audit.parameters[0].name] = argument
            continue
        name, equals, value = argument.removeprefix("--").partition("=")
        if not equals:
            if not rest:
                raise typer.BadParameter(f"{argument} needs a value")
            value = rest.pop(0)
        parameters[name.replace("-", "_")] = value
    return parameters


def _list_audits(audits: Sequence[Audit]) -> None:
    for audit in audits:
        options = " ".join(
            f"[--{parameter.name} …]" if parameter.optional else f"--{parameter.name} …"
            for parameter in audit.parameters
        )
        say(f"{audit.name} {options}\n    {audit.title}")
        for parameter in audit.parameters:
            say(f"      --{parameter.name}: {parameter.description}")
        say(f"      in a DuckDB shell: {audit.example}")


def _write(frame: pl.DataFrame, format_: Format, output: Path | None, rows: int) -> None:
    import polars as pl

    if format_ == "table" and output is None:
        _print_table(frame, rows)
        return
    buffer = io.BytesIO()
    if format_ == "parquet":
        if output is None:
            raise typer.BadParameter("Parquet goes to a file: add --output FILE")
        frame.write_parquet(buffer)
    elif format_ == "json":
        frame.write_ndjson(buffer)
    else:
        texts = [name for name, kind in frame.schema.items() if kind == pl.String()]
        frame.with_columns(spreadsheet(pl.col(texts))).write_csv(buffer)
    if output is None:
        sys.stdout.write(buffer.getvalue().decode())
    else:
        output.write_bytes(buffer.getvalue())


def _print_table(frame: pl.DataFrame, rows: int) -> None:
    """As a table where it fits the terminal, else one record below the other, without what is empty."""
    console = Terminal()
    texts = [["" if value is None else str(value) for value in row] for row in frame.head(rows).iter_rows()]
    widths = [max(map(len, column)) for column in zip(frame.columns, *texts, strict=True)]
    if sum(widths) + 3 * len(widths) <= console.width:
        table = Table(pad_edge=False)
        for column in frame.columns:
            table.add_column(column)
        for row in texts:
            table.add_row(*row)
        console.print(table)
    else:
        label = max(map(len, frame.columns), default=0)
        for row in texts:
            for column, text in zip(frame.columns, row, strict=True):
                if text:
                    say(f"{column:{label}}  {text}")
            say()
    remaining = frame.height - len(texts)
    say(f"{frame.height:,} row(s)" + (f", {remaining:,} more with --rows {frame.height}" if remaining else ""))
