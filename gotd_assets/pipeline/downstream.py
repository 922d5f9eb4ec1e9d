"""For assets of the user's own that come after the pipeline: what was selected last, and trained last."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from gotd_assets.errors import ArtifactError

if TYPE_CHECKING:
    import polars as pl

Context: TypeAlias = "dg.AssetExecutionContext | dg.SensorEvaluationContext | dg.OpExecutionContext"


@dataclasses.dataclass(frozen=True)
class LatestSelection:
    """A selection.

    Attributes:
        version: of the artifact.
        run_id: of the Dagster run that made it.
        parquet, jsonl: its rows, best first, as files.
    """

    version: str
    run_id: str
    parquet: Path
    jsonl: Path

    def frame(self) -> pl.DataFrame:
        """Its rows: doc_id, text, source, origin, rank, score and more."""
        from gotd_assets.artifacts.parquet import read_parquet

        return read_parquet(self.parquet)


@dataclasses.dataclass(frozen=True)
class LatestModel:
    """A pre-fine-tuned model.

    Attributes:
        version: of the artifact.
        run_id: of the Dagster run that made it.
        folder: weights, configuration and tokenizer, as Hugging Face's libraries load them.
        mlflow_run: address of its run in MLflow.
    """

    version: str
    run_id: str
    folder: Path
    mlflow_run: str


def latest_selection(
    context: Context, target: str, method: str = "gotd", *, pipeline: str | None = None
) -> LatestSelection:
    """What was selected last for `target` by `method`.

    Args:
        context: of an asset, an op or a sensor.
        target: name of the target.
        method: of selection.
        pipeline: `key_prefix` of the component ('my_selection'), with slashes between its parts.

    Raises:
        ArtifactError: nothing was; the message says what was.
    """
    version, run_id, shown = _latest(context, "selected_subset", target, method, pipeline)
    return LatestSelection(version, run_id, Path(shown["parquet"]), Path(shown["jsonl"]))


def latest_model(context: Context, target: str, method: str = "gotd", *, pipeline: str | None = None) -> LatestModel:
    """What was trained last on a selection for `target` by `method`; the arguments are those of `latest_selection`.

    Raises:
        ArtifactError: nothing was; the message says what was.
    """
    version, run_id, shown = _latest(context, "pre_fine_tuned_model", target, method, pipeline)
    return LatestModel(version, run_id, Path(shown["model"]), str(shown["mlflow_run"]))


def _latest(
    context: Context, asset: str, target: str, method: str, pipeline: str | None
) -> tuple[str, str, Mapping[str, Any]]:
    """Version, run and metadata of the newest materialization."""
    key = dg.AssetKey([*(pipeline.split("/") if pipeline else []), asset])
    partition = dg.MultiPartitionKey({"target": target, "method": method})
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    records = context.instance.fetch_materializations(wanted, limit=1).records
    materialization = records[0].asset_materialization if records else None
    if materialization is None:
        made = sorted(context.instance.get_materialized_partitions(key))
        there = f"there are: {', '.join(made)}" if made else "there is none yet"
        raise ArtifactError(
            f"{key.to_user_string()} has no partition {partition}; {there}. Materialize it, or correct target, method or pipeline"
        )
    shown = {name: value.value for name, value in materialization.metadata.items()}
    return (materialization.tags or {})[DATA_VERSION_TAG], records[0].run_id, shown
