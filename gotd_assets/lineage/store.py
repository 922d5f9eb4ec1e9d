"""The lineage store: what was made out of what, and every document's way, in one DuckDB file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from gotd_assets.errors import LineageError
from gotd_assets.lineage import audits, backup, openlineage, recording, verification
from gotd_assets.lineage.audits import Audit
from gotd_assets.lineage.database import Database, utc_now
from gotd_assets.lineage.materialisation import Materialisation
from gotd_assets.lineage.statements import rows, run

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

    def __init__(self, path: Path, *, timeout_seconds: float = 120) -> None:
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
        known: set[str] = set()
        if materialisation.reused:
            # A million rows take seconds to check, and these were.
            with self.database.writing() as connection:
                known = recording.recorded_contents(connection, materialisation)
                if not recording.unknown_contents(materialisation, known):
                    return recording.write(connection, materialisation, [])
        rows = recording.prepare(materialisation, known)
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
            return audits.ask(connection, question, checked)

    def forget(self, documents: Iterable[str], reason: str) -> pl.DataFrame:
        """Put tombstones on `documents`: nothing built from now on may hold them (see `forgotten_documents`).

        Args:
            documents: doc_ids, or beginnings (8 or more hex digits) that only one known document has. A whole doc_id
                may be of a document that was never seen.
            reason: why, for the record; forgetting a document again keeps the first reason and time.

        Returns:
            The audit removal_request of all of them: everything that holds them or learned from them.

        Raises:
            LineageError: a doc_id is malformed, unknown or ambiguous; then none is forgotten. Or the reason is empty.
        """
        if not reason.strip():
            raise LineageError("forgetting needs a reason, for the record: say who asked and why")
        question = audits.find("removal_request")
        given = [str(audits.check_parameters(question, {"document": document})["document"]) for document in documents]
        with self.database.writing() as connection:
            resolved = list(dict.fromkeys(_resolve(connection, document) for document in given))
            for doc_id in resolved:
                run(connection, "forget_document", {"doc_id": doc_id, "now": utc_now(), "reason": reason})
            answers = [audits.ask(connection, question, {"document": doc_id}) for doc_id in resolved]
        return pl.concat(answers) if answers else pl.DataFrame()

    def forgotten_documents(self) -> pl.DataFrame:
        """The tombstones: doc_id (32 hex digits), forgotten_at (UTC), reason; in order of doc_id."""
        with self.database.reading() as connection:
            return rows(connection, "forgotten_documents")

    def verify(
        self,
        artifacts: Path | None = None,
        *,
        damaged_only: bool = False,
        stored: Callable[[str, int], bool] | None = None,
    ) -> pl.DataFrame:
        """Compare every recorded file on disk with its recorded size and checksum.

        Args:
            artifacts: folder of the artifacts; by default the one beside the database, if there is one, as in a home,
                else where they were recorded.
            damaged_only: leave out intact files, and those behind URLs, which are not compared.
            stored: whether a file of an artifact that is not here is, by SHA-256 and size, intact in an object store.

        Returns:
            kind ('file' of an artifact, or 'source file' of the user's), artifact, version, path, state ('intact',
            'missing', 'artifact removed', 'other size', 'other content', 'unreadable', 'remote'), expected, found.
        """
        with self.database.reading() as connection:
            recorded = rows(connection, "recorded_files")
        beside = self.path.parent / "artifacts"
        found = verification.compare(recorded, artifacts or (beside if beside.is_dir() else None), stored)
        undamaged = [verification.INTACT, verification.REMOTE]
        return found.filter(~pl.col("state").is_in(undamaged)) if damaged_only else found

    def reproduction_record(self, version: str, *, asset: str | None = "selected_subset") -> list[dict[str, Any]]:
        """What is needed to make an artifact again from nothing: every artifact behind it, inputs before outputs.

        Args:
            version: the artifact's version, or its first 8 or more characters.
            asset: name of the asset; None for any.

        Returns:
            One dict per artifact, the one asked for last: asset, partition, name, version, code_version, parameters
            (dict), inputs (dict name to version), files and source_files (lists of dicts with size and sha256),
            packages (dict name to version), conditions (dict name to value), settings (dict; None if recorded
            before they were), path (str or None).

        Raises:
            LineageError: no such artifact, or more than one.
        """
        if len(version) < 8:
            raise LineageError(f"{version!r} is too short for a version: give its first 8 or more characters")
        with self.database.reading() as connection:
            records = rows(connection, "reproduction", {"version": version, "asset": asset}).to_dicts()
        tops = [
            row["version"] for row in records if row["version"].startswith(version) and asset in (None, row["asset"])
        ]
        if len(tops) != 1:
            found = f"more than one ({', '.join(tops)})" if tops else "none"
            raise LineageError(f"{asset or 'artifact'} version {version!r}: {found} is recorded in {self.path}")
        return [_decoded(row) for row in records]

    def openlineage_events(self, *, namespace: str = openlineage.NAMESPACE, run_id: str | None = None) -> list[Any]:
        """Every recorded materialisation as an OpenLineage run event (a JSON object), oldest first."""
        with self.database.reading() as connection:
            return list(openlineage.events(connection, namespace=namespace, run_id=run_id))

    def backup(self, destination: Path) -> Path:
        """Copy the database to `destination`, a file or a folder; see `gotd_assets.lineage.backup.back_up`."""
        return backup.back_up(self.path, destination, self.database.timeout_seconds)

    @staticmethod
    def restore(path: Path, source: Path, *, timeout_seconds: float = 120) -> Path | None:
        """Replace the database at `path` by the backup `source`; returns where the former one was set aside."""
        return backup.restore(path, source, timeout_seconds)


def _resolve(connection: duckdb.DuckDBPyConnection, document: str) -> str:
    plain = document.replace("-", "").lower()
    if len(plain) == 32:
        return plain
    found = [doc_id for (doc_id,) in run(connection, "matching_documents", {"prefix": plain}).fetchall()]
    if len(found) != 1:
        known = f"several documents ({', '.join(found)} …)" if found else "no document on record"
        raise LineageError(f"{document!r} is the beginning of {known}: give the whole doc_id")
    return str(found[0])


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    named = {
        key: {item["name"]: item["version"] for item in _list(row[key])} for key in ("inputs", "packages", "conditions")
    }
    return {
        **{key: row[key] for key in ("asset", "partition", "name", "version", "code_version", "path")},
        "parameters": json.loads(row["parameters"]),
        **named,
        "files": _list(row["files"]),
        "source_files": _list(row["source_files"]),
        "settings": None if row["settings"] is None else json.loads(row["settings"]),
    }


def _list(text: str | None) -> list[Any]:
    return [] if text is None else list(json.loads(text))
