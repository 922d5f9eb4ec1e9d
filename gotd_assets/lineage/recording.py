"""Writing one materialisation: checked before the database is touched, then recorded in one transaction."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from gotd_assets.artifacts.parquet import literal_names
from gotd_assets.errors import LineageError
from gotd_assets.fingerprint import fingerprint
from gotd_assets.lineage.database import utc_now
from gotd_assets.lineage.materialisation import Materialisation, Table
from gotd_assets.lineage.statements import run

_COLUMNS = {
    "documents": ("doc_id", "source", "origin"),
    "examples": ("doc_id", "source", "origin"),
    "members": ("doc_id", "source", "origin", "rank", "score"),
    "scores": ("doc_id", "score"),
    "exclusions": ("doc_id", "reason", "matched_doc_id"),
}
_PLACED = ("documents", "examples", "members")  # these say where a document stands
_ONCE = ("members", "scores")  # these name a document at most once


@dataclasses.dataclass(frozen=True)
class _Rows:
    content: str
    data: pl.DataFrame | list[Path]  # a frame, or paths of Parquet files
    count: int


def recorded_contents(connection: duckdb.DuckDBPyConnection, materialisation: Materialisation) -> set[str]:
    """Which of `_COLUMNS` are known already of the artifact, so need not be looked at again."""
    artifact = {"name": materialisation.name, "version": materialisation.version}
    return {content for (content,) in run(connection, "recorded_contents", artifact).fetchall()}


def unknown_contents(materialisation: Materialisation, known: Collection[str]) -> dict[str, Table]:
    """The document rows of `materialisation` that are none of those `known`, by content."""
    given: dict[str, Table | None] = {content: getattr(materialisation, content) for content in _COLUMNS}
    return {content: table for content, table in given.items() if table is not None and content not in known}


def prepare(materialisation: Materialisation, known: Collection[str] = ()) -> list[_Rows]:
    """Open and check the document rows of `materialisation` but those `known`, without the lineage database.

    Raises:
        LineageError: columns are missing, a doc_id is not 32 lower-case hex digits, a document, rank or score is
            repeated or missing where it must not be. The message names the artifact and the row.
    """
    unknown = unknown_contents(materialisation, known)
    if not unknown:
        return []
    with duckdb.connect() as connection:
        return [
            _checked(connection, content, table, f"{materialisation.name} {materialisation.version}, {content}")
            for content, table in unknown.items()
        ]


def write(connection: duckdb.DuckDBPyConnection, materialisation: Materialisation, rows: Sequence[_Rows]) -> bool:
    """Record `materialisation` inside the caller's transaction; False if this event was recorded before."""
    event_key = materialisation.event_key
    if run(connection, "find_event", {"event_key": event_key}).fetchall() != [(0,)]:
        return False
    _register_details(connection, materialisation)
    found = run(
        connection,
        "record_artifact",
        {
            "asset": materialisation.asset,
            "partition": materialisation.partition,
            "name": materialisation.name,
            "version": materialisation.version,
            "code_version": materialisation.code_version,
            "parameters": _json(materialisation.parameters),
            "summary": _json(materialisation.summary),
            "path": None if materialisation.path is None else str(materialisation.path),
        },
    )
    ((artifact_key,),) = found.fetchall()
    packages, conditions = dict(materialisation.packages), dict(materialisation.conditions)
    settings = dict(materialisation.settings)
    event = {
        "event_key": event_key,
        "artifact_key": artifact_key,
        "created_at": materialisation.created_at_utc,
        "now": utc_now(),
        "run_id": materialisation.run_id,
        "step": materialisation.step,
        "reused": materialisation.reused,
        "environment_id": fingerprint(packages) if packages else None,
        "conditions_id": fingerprint(conditions) if conditions else None,
        "settings_id": fingerprint(settings) if settings else None,
        "settings": _json(settings),
    }
    run(connection, "record_event", event)
    if materialisation.training is not None:
        run(
            connection,
            "record_training",
            {"artifact_key": artifact_key, **dataclasses.asdict(materialisation.training)},
        )
    for table in rows:
        _write_rows(connection, artifact_key, table, lowest_first=materialisation.best_scores == "lowest")
    return True


def _write_rows(connection: duckdb.DuckDBPyConnection, artifact_key: int, rows: _Rows, *, lowest_first: bool) -> None:
    content = {"artifact_key": artifact_key, "content": rows.content, "row_count": rows.count}
    if run(connection, "has_content", content).fetchall() != [(0,)]:
        return
    with _incoming(connection, rows.content, rows.data):
        run(connection, "register_documents")
        if rows.content in _PLACED:
            run(connection, "register_occurrences")
        run(connection, f"record_{rows.content}", {"artifact_key": artifact_key, "lowest_first": lowest_first})
        run(connection, "record_content", content)


@contextlib.contextmanager
def _incoming(connection: duckdb.DuckDBPyConnection, content: str, data: pl.DataFrame | list[Path]) -> Iterator[None]:
    """Within the block, `incoming` is a table of the rows to record. A transaction that fails takes it along."""
    if isinstance(data, pl.DataFrame):
        connection.register("incoming", data)
        yield
        connection.unregister("incoming")
    else:
        run(connection, "load_parquet", {"paths": literal_names(data), "columns": list(_COLUMNS[content])})
        yield
        run(connection, "unload_parquet")


def _register_details(connection: duckdb.DuckDBPyConnection, materialisation: Materialisation) -> None:
    frames = {
        "incoming_inputs": _frame(("input_name", "input_version"), list(materialisation.inputs.items())),
        "incoming_packages": _frame(("package", "package_version"), list(materialisation.packages.items())),
        "incoming_conditions": _frame(("condition", "value"), list(materialisation.conditions.items())),
        "incoming_files": _frame(
            ("file", "size", "sha256"), [(file.name, file.size, file.sha256) for file in materialisation.files]
        ),
        "incoming_source_files": _frame(
            ("path", "size", "sha256", "position"),
            [(file.path, file.size, file.sha256, number) for number, file in enumerate(materialisation.source_files)],
        ),
    }
    for name, frame in frames.items():
        connection.register(name, frame)


def _frame(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = {column: pl.Int64() if column in ("size", "position") else pl.String() for column in columns}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _checked(connection: duckdb.DuckDBPyConnection, content: str, table: Table, where: str) -> _Rows:
    if isinstance(table, pl.DataFrame):
        data: pl.DataFrame | list[Path] = table
        names = table.columns
    else:
        data = [table] if isinstance(table, Path) else list(table)
        try:
            names = connection.read_parquet(literal_names(data), hive_partitioning=False).columns
        except duckdb.Error as error:
            raise LineageError(f"{where}: {', '.join(map(str, data))} cannot be read as Parquet: {error}") from error
    missing = [column for column in _COLUMNS[content] if column not in names]
    if missing:
        raise LineageError(f"{where}: no column {', '.join(missing)}; there are {', '.join(names)}")
    with _incoming(connection, content, data):
        count, bad_id, bad_row, repeated = _row(run(connection, "check_rows"))
        if bad_id is not None:
            raise LineageError(f"{where}, row {bad_row}: doc_id {bad_id!r} is not 32 lower-case hex digits")
        if content in _ONCE:
            if repeated:
                raise LineageError(f"{where}: {repeated} row(s) repeat a doc_id of another row")
            bad_ranks, bad_scores = _row(run(connection, f"check_{content}"))
            if bad_ranks:
                raise LineageError(f"{where}: {bad_ranks} rank(s) are missing, below 1 or repeated")
            if bad_scores:
                raise LineageError(f"{where}: {bad_scores} score(s) are missing or not a number")
    return _Rows(content, data, count)


def _row(connection: duckdb.DuckDBPyConnection) -> tuple[Any, ...]:
    # To the end: what is not fetched whole holds the connection.
    (row,) = connection.fetchall()
    return row


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
