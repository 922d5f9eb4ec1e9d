"""Audits: named questions about lineage, each a table macro in a file of `sql/audits/`.

A file says in its head what it answers, and then defines the macro of its own name:

    -- title: Why was this document selected, or not?
    -- description: One row for every selection …
    --   … continued.
    -- parameter document (doc_id): first 8 or more hex digits of the doc_id
    -- parameter target (text, optional): only selections for this target
    -- example: FROM why_document('3fa94c1e')
    CREATE OR REPLACE MACRO why_document(document, target := NULL) AS TABLE …

The macros live in the database, so that a DuckDB shell has them too.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path

import duckdb
import polars as pl

from gotd_assets.errors import LineageError
from gotd_assets.fingerprint import fingerprint
from gotd_assets.lineage import statements

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_PARAMETER = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*) \((?P<kind>[a-z_]+)(?P<optional>, optional)?\): (?P<description>.+)\Z"
)
_KINDS = {
    "doc_id": "first 8 or more hex digits of a doc_id",
    "version": "a version, or its first 8 or more characters",
    "text": "text",
    "integer": "whole number",
}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of an audit: `kind` is 'doc_id', 'version', 'text' or 'integer'."""

    name: str
    kind: str
    optional: bool
    description: str


@dataclasses.dataclass(frozen=True)
class Audit:
    """A named question: what it answers, what it needs, how it looks in a DuckDB shell, and its SQL."""

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...]
    example: str
    sql: str


@functools.cache
def all_audits() -> tuple[Audit, ...]:
    """Every audit in `sql/audits/`, by name.

    Raises:
        LineageError: the head of a file is malformed.
    """
    return tuple(read_audit(path) for path in sorted((statements.sql_directory() / "audits").glob("*.sql")))


def read_audit(path: Path) -> Audit:
    """The audit in the file `path`.

    Raises:
        LineageError: the file's name or head is malformed.
    """
    sql = path.read_text(encoding="utf-8")
    head: dict[str, str] = {}
    parameters = []
    last = ""
    for number, line in enumerate(sql.splitlines(), start=1):
        if not line.startswith("--"):
            break
        text = line.removeprefix("--").strip()
        key, colon, value = text.partition(": ")
        if line.startswith("--   ") and last:
            head[last] += " " + text
        elif key in ("title", "description", "example") and colon:
            head[key] = value
            last = key
        elif match := _PARAMETER.match(text.removeprefix("parameter ")):
            if match["kind"] not in _KINDS:
                raise LineageError(f"{path}:{number}: unknown kind {match['kind']!r}; there are {', '.join(_KINDS)}")
            parameters.append(Parameter(match["name"], match["kind"], bool(match["optional"]), match["description"]))
            last = ""
        else:
            raise LineageError(f"{path}:{number}: expected title, description, parameter or example, found {line!r}")
    missing = {"title", "description", "example"} - head.keys()
    if missing or not _NAME.match(path.stem):
        raise LineageError(f"{path}: the head lacks {', '.join(sorted(missing)) or 'a name of letters, digits and _'}")
    return Audit(path.stem, head["title"], head["description"], tuple(parameters), head["example"], sql)


def find(name: str) -> Audit:
    """The audit called `name`.

    Raises:
        LineageError: there is none.
    """
    for audit in all_audits():
        if audit.name == name:
            return audit
    raise LineageError(f"there is no audit {name!r}; there are: {', '.join(audit.name for audit in all_audits())}")


def ask(connection: duckdb.DuckDBPyConnection, audit: Audit, given: Mapping[str, object]) -> pl.DataFrame:
    """The answer to `audit` with the parameters `given`.

    Raises:
        LineageError: a parameter is unknown, missing or of the wrong kind, or a version is not on record or ambiguous.
    """
    bound = check_parameters(audit, given)
    for parameter in audit.parameters:
        if parameter.kind == "version" and parameter.name in bound:
            _require_one_version(connection, audit, parameter, str(bound[parameter.name]))
    # Only names from the audit's own file stand in the text; every value is bound.
    arguments = ", ".join(f"{name} := ${name}" for name in bound)
    return statements.ask(connection, f"FROM {audit.name}({arguments})", bound)


def check_parameters(audit: Audit, given: Mapping[str, object]) -> dict[str, object]:
    """`given`, with texts of whole numbers turned into numbers and parameters left out as None removed.

    Raises:
        LineageError: a parameter is unknown, missing or of the wrong kind.
    """
    known = {parameter.name: parameter for parameter in audit.parameters}
    for name in given:
        if name not in known:
            raise LineageError(f"audit {audit.name} has no parameter {name!r}; it has: {', '.join(known) or 'none'}")
    checked: dict[str, object] = {}
    for name, parameter in known.items():
        value = given.get(name)
        if value is None:
            if not parameter.optional:
                raise LineageError(f"audit {audit.name} needs {name}: {parameter.description}")
            continue
        checked[name] = _checked(audit, parameter, value)
    return checked


def are_current(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the database has the macros of this installation's audits, and no others."""
    return _installed(connection) == {audit.name: fingerprint(audit.sql) for audit in all_audits()}


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the audits of this installation the table macros of the database."""
    installed = _installed(connection)
    for audit in all_audits():
        definition = fingerprint(audit.sql)
        if installed.pop(audit.name, None) == definition:
            continue
        connection.execute(audit.sql)
        statements.run(
            connection,
            "install_audit",
            {
                "audit": audit.name,
                "title": audit.title,
                "description": audit.description,
                "example": audit.example,
                "definition": definition,
            },
        )
    for name in installed:
        # The name is the database's, which may come from elsewhere.
        quoted = name.replace('"', '""')
        connection.execute(f'DROP MACRO TABLE IF EXISTS "{quoted}"')
        statements.run(connection, "remove_audit", {"audit": name})


def _require_one_version(
    connection: duckdb.DuckDBPyConnection, audit: Audit, parameter: Parameter, prefix: str
) -> None:
    """An empty answer about a version that does not exist would read as "nothing changed"."""
    found = [version for (version,) in statements.run(connection, "matching_versions", {"prefix": prefix}).fetchall()]
    if prefix not in found and len(found) != 1:
        known = (
            f"several versions begin with {prefix!r}: {', '.join(found)}" if found else f"{prefix!r} is not on record"
        )
        raise LineageError(f"audit {audit.name}, parameter {parameter.name}: {known}")


def _installed(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return dict(statements.run(connection, "installed_audits").fetchall())


def _checked(audit: Audit, parameter: Parameter, value: object) -> object:
    text = str(value)
    where = f"audit {audit.name}, parameter {parameter.name}"
    if parameter.kind == "integer":
        try:
            return int(text)
        except ValueError:
            raise LineageError(f"{where}: {text!r} is not a {_KINDS['integer']}") from None
    if parameter.kind == "doc_id" and not re.fullmatch(r"[0-9a-fA-F]{8,32}", text.replace("-", "")):
        raise LineageError(f"{where}: {text!r} is not {_KINDS['doc_id']}")
    if parameter.kind == "version" and len(text) < 8:
        raise LineageError(f"{where}: {text!r} is too short for {_KINDS['version']}")
    return text
