"""Materialisations as OpenLineage run events (https://openlineage.io, specification 2-0-2), for other lineage tools.

Each recorded event becomes one COMPLETE run event: the job is the asset, the run is the materialisation, its parent the
Dagster run; inputs and outputs are datasets named as artifacts are, with their versions. The user's own files are
datasets in the namespace 'file'.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import duckdb

from gotd_assets.lineage.statements import run

NAMESPACE = "gotd-assets"
_PRODUCER = "https://pypi.org/project/gotd-assets"
_SPECIFICATION = "https://openlineage.io/spec"


def events(
    connection: duckdb.DuckDBPyConnection, *, namespace: str = NAMESPACE, run_id: str | None = None
) -> Iterator[dict[str, Any]]:
    """Every recorded materialisation (of one Dagster run, if `run_id` is given), oldest first, as a JSON object."""
    cursor = run(connection, "openlineage_events", {"run_id": run_id})
    names = [column[0] for column in cursor.description or ()]
    for row in cursor.fetchall():
        yield _event(dict(zip(names, row, strict=True)), namespace)


def _event(row: dict[str, Any], namespace: str) -> dict[str, Any]:
    inputs = [
        _dataset(namespace, item["name"], version=item["version"]) for item in json.loads(row["inputs"] or "[]")
    ] + [
        _dataset(*_located(item["path"]), version=f"sha256:{item['sha256']}")
        for item in json.loads(row["source_files"] or "[]")
    ]
    output = _dataset(namespace, row["name"], version=row["version"])
    if row["path"]:
        output["facets"]["dataSource"] = _facet(
            "facets/1-0-1/DatasourceDatasetFacet.json", name=row["path"], uri="file://" + quote(row["path"])
        )
    statistics = {"rowCount": row["row_count"], "size": row["size"], "fileCount": row["file_count"] or None}
    output["outputFacets"] = {
        "outputStatistics": _facet(
            "facets/1-0-2/OutputStatisticsOutputDatasetFacet.json",
            **{key: value for key, value in statistics.items() if value is not None},
        )
    }
    return {
        "eventType": "COMPLETE",
        "eventTime": row["created_at"].replace(tzinfo=dt.UTC).isoformat(),
        "producer": _PRODUCER,
        "schemaURL": f"{_SPECIFICATION}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid.UUID(row["event_key"])), "facets": _run_facets(row, namespace)},
        "job": {
            "namespace": namespace,
            "name": row["asset"],
            "facets": {
                "jobType": _facet(
                    "facets/2-0-4/JobTypeJobFacet.json", processingType="BATCH", integration="DAGSTER", jobType="ASSET"
                )
            },
        },
        "inputs": inputs,
        "outputs": [output],
    }


def _located(path: str) -> tuple[str, str]:
    """Namespace and name of a user's file, as OpenLineage names datasets: a bucket or server is the namespace."""
    scheme, is_url, rest = path.partition("://")
    if not is_url:
        return "file", path
    authority, _, name = rest.partition("/")
    return f"{scheme}://{authority}", name


def _run_facets(row: dict[str, Any], namespace: str) -> dict[str, Any]:
    tags = {
        "code_version": row["code_version"],
        "reused": str(row["reused"]).lower(),
        "dagster_run": row["run_id"],
        "dagster_step": row["step"],
        "mlflow_runs": row["mlflow_run_ids"],
    }
    facets = {
        "tags": _facet(
            "facets/1-0-0/TagsRunFacet.json",
            tags=[
                *({"key": key, "value": value, "source": "DAGSTER"} for key, value in tags.items() if value),
                *(
                    {"key": item["name"], "value": item["value"], "source": "CONDITIONS"}
                    for item in json.loads(row["conditions"] or "[]")
                ),
            ],
        )
    }
    if _is_uuid(row["run_id"]):
        facets["parent"] = _facet(
            "facets/1-2-0/ParentRunFacet.json",
            run={"runId": row["run_id"]},
            job={"namespace": namespace, "name": "dagster_run"},
        )
    return facets


def _dataset(namespace: str, name: str, *, version: str) -> dict[str, Any]:
    facet = _facet("facets/1-0-1/DatasetVersionDatasetFacet.json", datasetVersion=version)
    return {"namespace": namespace, "name": name, "facets": {"version": facet}}


def _facet(schema: str, **content: Any) -> dict[str, Any]:
    kind = schema.rsplit("/", 1)[-1].removesuffix(".json")
    return {"_producer": _PRODUCER, "_schemaURL": f"{_SPECIFICATION}/{schema}#/$defs/{kind}", **content}


def _is_uuid(text: str | None) -> bool:
    try:
        return text is not None and str(uuid.UUID(text)) == text
    except ValueError:
        return False
