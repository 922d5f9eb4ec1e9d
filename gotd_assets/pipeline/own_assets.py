"""Where lineage begins: the user's files as external assets, and assets of the user's own whose rows are a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import fingerprint
from gotd_assets.pipeline.placement import Placement
from gotd_assets.settings.project import Project
from gotd_assets.settings.texts import SourceSettings, TargetSettings
from gotd_assets.stations.station import Group, Station

_FOLDER = "targets_folder"
# Under these names an asset's metadata says where its rows are.
_PATH_NAMES = ("path", "parquet", "file", "files", "dagster/uri")
_READS: Mapping[str, Group] = {"raw_candidates": "candidates", "target_documents": "target"}


def external_assets(placement: Placement) -> list[dg.AssetSpec]:
    """The user's files: one external asset for each source, for each declared target, and for the targets folder."""
    project = placement.declared
    found = [
        _external(
            placement,
            "candidates",
            source_key(placement, source),
            _uri(project, source),
            f"Files of the source {source.name}",
        )
        for source in project.settings.sources
        if source.asset is None
    ]
    folder = project.settings.targets_folder.path
    if folder is not None:
        uri = project.resolve(folder).as_uri()
        found.append(_external(placement, "target", target_key(placement, _FOLDER), uri, "Folder of targets"))
    inside = None if folder is None else project.resolve(folder)
    for target in project.settings.targets:
        if inside is None or not _stands_in(inside, project, target):
            key = target_key(placement, target.name)
            found.append(
                _external(placement, "target", key, _uri(project, target), f"Files of the target {target.name}")
            )
    return found


def dependencies(placement: Placement, station: Station) -> list[dg.AssetDep]:
    """The assets that a station reads which is the first to read the user's data."""
    if station.name == "raw_candidates":
        return [dg.AssetDep(source_key(placement, source)) for source in placement.declared.settings.sources]
    if station.name == "target_documents":
        return [dg.AssetDep(spec.key) for spec in external_assets(placement) if spec.key.path[-2] == "target"]
    return []


def source_key(placement: Placement, source: SourceSettings) -> dg.AssetKey:
    """The asset behind a source: the user's own, or the external one for its files."""
    if source.asset is not None:
        return dg.AssetKey.from_user_string(source.asset)
    return dg.AssetKey([*placement.key_prefix, "source", source.name])


def target_key(placement: Placement, name: str) -> dg.AssetKey:
    """The external asset for the files of a target."""
    return dg.AssetKey([*placement.key_prefix, "target", name])


def with_rows(project: Project, source: str, context: dg.AssetExecutionContext) -> Project:
    """The project in which `source` has the path where the rows of its asset are now, if it has one.

    Raises:
        InputError: the asset was not materialized yet, or has no rows that can be read.
    """
    settings = project.settings.source(source)
    if settings.asset is None:
        return project
    path = _rows(project, settings.asset, context)
    sources = [
        other if other.name != source else other.model_copy(update={"path": path}) for other in project.settings.sources
    ]
    return project.model_copy(update={"settings": project.settings.model_copy(update={"sources": sources})})


def _rows(project: Project, asset: str, context: dg.AssetExecutionContext) -> Path | str:
    key = dg.AssetKey.from_user_string(asset)
    event = context.instance.get_latest_materialization_event(key)
    materialization = None if event is None else event.asset_materialization
    if event is None or materialization is None:
        raise InputError(f"the asset {asset} was not materialized yet: materialize it, then raw_candidates")
    for name in _PATH_NAMES:
        location = _location(str(materialization.metadata[name].value)) if name in materialization.metadata else None
        # Dagster's own I/O manager tells where it pickled a value: a file without an ending.
        if location is not None and not (isinstance(location, Path) and not location.suffix and location.is_file()):
            return location
    version = fingerprint([asset, event.run_id, event.timestamp])[:12]
    file = project.home.assets / f"{key.to_python_identifier()}-{version}.parquet"
    if not file.exists():
        _write(_value(context, key), file, asset)
    return file


def _value(context: dg.AssetExecutionContext, key: dg.AssetKey) -> Any:
    try:
        return context.load_asset_value(key)
    except Exception as error:
        raise InputError(
            f"the asset {key.to_user_string()} has no metadata called path, and its value cannot be loaded ({error}): let it "
            "return dg.MaterializeResult(metadata={'path': ...}), or a table by an I/O manager"
        ) from error


def _write(value: Any, file: Path, asset: str) -> None:
    """Keep a table of Polars, pandas, Arrow, DuckDB or Hugging Face as Parquet."""
    import polars as pl

    table = value.collect() if isinstance(value, pl.LazyFrame) else value
    if not isinstance(table, pl.DataFrame):
        # Hugging Face data sets keep an Arrow table inside.
        table = getattr(getattr(table, "data", None), "table", table)
        try:
            table = pl.DataFrame(table)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise InputError(
                f"the asset {asset} returns {type(value).__name__}: give a table of Polars, pandas, Arrow, DuckDB or "
                "Hugging Face, or metadata called path"
            ) from error
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced(file) as new:
        table.write_parquet(new)


def _location(value: str) -> Path | str:
    parts = urlsplit(value)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return value if "://" in value else Path(value)


def _external(placement: Placement, group: Group, key: dg.AssetKey, uri: str, what: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description=f"{what}, as you have them. They are watched by content: what changes is read again.",
        group_name=placement.group(group),
        kinds={"file"},
        metadata={"dagster/uri": uri},
    )


def _uri(project: Project, entry: SourceSettings | TargetSettings) -> str:
    """Of its first location; a glob keeps its stars."""
    first = entry.path[0] if isinstance(entry.path, list) else entry.path
    return f"file://{project.resolve(first)}" if isinstance(first, Path) else str(first)


def _stands_in(folder: Path, project: Project, target: TargetSettings) -> bool:
    return isinstance(target.path, Path) and project.resolve(target.path).parent == folder
