"""`python -m benchmarks.study`: compare all methods on real text, and write what came out."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.study.commands import figure_three_on_points, figure_three_on_text, run_plan, write_study_page
from benchmarks.study.plan import FULL, QUICK, EncoderName
from gotd_assets.cli.errors import Commands
from gotd_assets.cli.project import settings_file_here
from gotd_assets.cli.terminal import Terminal
from gotd_assets.settings.file import load_project

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
_console = Terminal()


@app.command()
def run(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A pool of 20,000 documents and two targets.")] = False,
    encoder: Annotated[
        EncoderName, typer.Option(help="With others than minilm few methods and one base model.")
    ] = "minilm",
    select_only: Annotated[bool, typer.Option("--select-only", help="Select and judge, train nothing.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin no training after so many minutes.")] = None,
) -> None:
    """Compare all methods on real text out of packages: composition, transport cost, perplexity, cost.

    Writes a project below `.gotd/study` and compares there as `gotd compare` does; goes on from where it was. `page` writes
    what came out.
    """
    plan = (QUICK if quick else FULL).with_encoder(encoder)
    run_plan(load_project(settings_file_here()), plan, _console, minutes=minutes, train=not select_only)


@app.command()
def page(path: Annotated[Path, typer.Argument(help="Markdown file to write; plots go beside it.")]) -> None:
    """Write what the studies found out, read from their comparisons."""
    write_study_page(load_project(settings_file_here()), path, _console)


@app.command("figure-3")
def figure_three(
    plot: Annotated[Path, typer.Argument(help="SVG file to write.")],
    *,
    text: Annotated[bool, typer.Option("--text", help="News and film reviews of the quick study, not points.")] = False,
) -> None:
    """Draw Figure 3 of the paper in full: what methods select from a pool of 99 % cats and 1 % dogs."""
    if text:
        figure_three_on_text(load_project(settings_file_here()), QUICK, plot, _console)
    else:
        figure_three_on_points(plot, _console)


if __name__ == "__main__":
    app()
