"""The front door: workspace.yaml and `dg` load this, and only this."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Everything in the `defs` folder."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
