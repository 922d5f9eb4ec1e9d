"""The SQL of the lineage store: files below `sql/`, in the repository and inside the installed package."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path

import duckdb
import polars as pl

from gotd_assets.errors import LineageError

_MIGRATION = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")


@dataclasses.dataclass(frozen=True)
class Migration:
    """One step of the schema: its number, its name, its statements."""

    number: int
    name: str
    sql: str


@functools.cache
def sql_directory() -> Path:
    """Where the SQL files are: in the installed package, or beside it in the repository.

    Raises:
        LineageError: in neither place; the installation is damaged.
    """
    package = Path(__file__).resolve().parent.parent
    for directory in (package / "sql", package.parent / "sql"):
        if (directory / "migrations").is_dir():
            return directory
    raise LineageError(f"no SQL files in {package / 'sql'} or {package.parent / 'sql'}: install gotd-assets again")


def migrations(directory: Path | None = None) -> list[Migration]:
    """Every migration, in order.

    Raises:
        LineageError: a file has another name than NNNN_words.sql, or the numbers are not 1, 2, 3 …
    """
    found: list[Migration] = []
    for path in sorted((directory or sql_directory() / "migrations").glob("*.sql")):
        match = _MIGRATION.match(path.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise LineageError(f"{path}: expected migration {len(found) + 1:04d}_some_words.sql here")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    return found


@functools.cache
def statement(name: str) -> str:
    """Text of `sql/statements/<name>.sql`."""
    return (sql_directory() / "statements" / f"{name}.sql").read_text(encoding="utf-8")


def run(
    connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None
) -> duckdb.DuckDBPyConnection:
    """Run the statements of `sql/statements/<name>.sql`, each with those of `parameters` it names.

    Returns the connection, to fetch the result of the last statement from.
    """
    given = parameters or {}
    for one in connection.extract_statements(statement(name)):
        connection.execute(one, {key: given[key] for key in one.named_parameters})
    return connection


def ask(connection: duckdb.DuckDBPyConnection, question: str, parameters: Mapping[str, object]) -> pl.DataFrame:
    """The answer to one statement in SQL."""
    return pl.DataFrame(connection.sql(question, params=dict(parameters)).to_arrow_table())


def rows(
    connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None
) -> pl.DataFrame:
    """The answer to `sql/statements/<name>.sql`, which is one statement."""
    return ask(connection, statement(name), parameters or {})
