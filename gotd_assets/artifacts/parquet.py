"""Parquet files by their paths: a path means one file, whatever signs its name has, and never a pattern.

Polars takes brackets and stars in paths for patterns, DuckDB likewise, and both take folders called 'key=value' for
columns. Everything that opens Parquet of a home does it through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

_SIGNS = "*?["


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The file at `path`, only `columns` if given."""
    return pl.read_parquet(
        path, columns=None if columns is None else list(columns), glob=False, hive_partitioning=False
    )


def scan_parquet(paths: Path | Sequence[Path]) -> pl.LazyFrame:
    """The files at `paths`, one after the other, lazily."""
    files = [paths] if isinstance(paths, Path) else list(paths)
    return pl.scan_parquet(files, glob=False, hive_partitioning=False)


def parquet_columns(path: Path) -> dict[str, str]:
    """Names and types of the columns of the file at `path`."""
    return {name: str(kind) for name, kind in scan_parquet(path).collect_schema().items()}


def literal_names(paths: Sequence[Path]) -> list[str]:
    """`paths` as DuckDB's functions take them that would otherwise see patterns."""
    return ["".join(f"[{sign}]" if sign in _SIGNS else sign for sign in str(path)) for path in paths]
