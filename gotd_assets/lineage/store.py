"""The lineage store: what was made out of what, and every document's way, in one DuckDB file."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from gotd_assets.lineage import audits, recording
from gotd_assets.lineage.audits import Audit
from gotd_assets.lineage.database import Database
from gotd_assets.lineage.materialisation import Materialisation

DATABASE = "lineage.duckdb"


class LineageStore:
    """The lineage database at `path`, created or migrated to this version's schema when opened.

    Any number of threads and processes may use one database: every call connects, does its work in one transaction
    and closes, and waits for others for at most `timeout_seconds`.

    Args:
        path: the DuckDB file (usually `<home>/lineage.duckdb`).
        timeout_seconds: how long a call waits for its turn.

    Raises:
        LineageError: the file is not a lineage database, is of a newer schema, or was busy for too long.
    """

    def __init__(self, path: Path, *, timeout_seconds: float = 60) -> None:
        self.database = Database(path, timeout_seconds)

    @property
    def path(self) -> Path:
        """Absolute path of the database file."""
        return self.database.path

    def record(self, materialisation: Materialisation) -> bool:
        """Record one materialisation, all of it or nothing; when this returns it is on disk.

        Recording the same event again changes nothing. A further event of an artifact that is known already (a run
        that used it again) is kept as an event of its own; its members, documents and scores are not stored twice.

        Returns:
            Whether the event was new.

        Raises:
            LineageError: rows are malformed, or the database was busy for too long.
        """
        rows = recording.prepare(materialisation)
        with self.database.writing() as connection:
            return recording.write(connection, materialisation, rows)

    def audits(self) -> list[Audit]:
        """Every question this version can answer, by name."""
        return list(audits.all_audits())

    def audit(self, name: str, **parameters: object) -> pl.DataFrame:
        """The answer to the audit `name`; see `audits` for names and parameters.

        Raises:
            LineageError: no such audit, or a parameter is unknown, missing or malformed.
        """
        question = audits.find(name)
        checked = audits.check_parameters(question, parameters)
        with self.database.reading() as connection:
            return audits.ask(connection, question, checked).pl()
