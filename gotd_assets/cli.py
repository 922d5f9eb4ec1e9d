"""`gotd`: the project from the command line, for people and scripts that do not use the Dagster UI."""

import typer

main = typer.Typer(
    name="gotd", no_args_is_help=True, help="Select pre-fine-tuning data by optimal transport gradients."
)
