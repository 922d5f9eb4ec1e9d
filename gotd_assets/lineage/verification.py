"""Whether what is on disk still is what was recorded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from gotd_assets.fingerprint import file_sha256
from gotd_assets.storage import ArtifactKey

INTACT = "intact"
REMOTE = "remote"
_SCHEMA = {name: pl.String() for name in ("kind", "artifact", "version", "path", "state", "expected", "found")}


def compare(recorded: pl.DataFrame, artifacts: Path | None) -> pl.DataFrame:
    """Compare files with their recorded sizes and checksums.

    Args:
        recorded: kind, artifact, asset, partition, version, folder, file, size, sha256.
        artifacts: where artifacts are now, if the project's home has moved since they were recorded.

    Returns:
        One row per recorded file: kind, artifact, version, path, state, expected, found. `state` is 'intact',
        'missing', 'artifact removed' (its whole folder is gone, as after `gotd gc`), 'other size', 'other content',
        'unreadable' or 'remote' (behind a URL, so not compared).
    """
    with ThreadPoolExecutor() as executor:
        rows = list(executor.map(lambda row: _compared(row, artifacts), recorded.iter_rows(named=True)))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _compared(row: dict[str, Any], artifacts: Path | None) -> tuple[str, ...]:
    folder = _folder(row, artifacts)
    if folder is None and "://" in row["file"]:
        return row["kind"], row["artifact"], row["version"], row["file"], REMOTE, "", ""
    path = Path(row["file"]) if folder is None else folder / row["file"]
    state, expected, found = _state(path, row["size"], row["sha256"], folder)
    return row["kind"], row["artifact"], row["version"], str(path), state, expected, found


def _folder(row: dict[str, Any], artifacts: Path | None) -> Path | None:
    if row["kind"] == "source file":
        return None
    recorded = None if row["folder"] is None else Path(row["folder"])
    if artifacts is not None and (recorded is None or not recorded.is_dir()):
        return artifacts / ArtifactKey(row["asset"], row["partition"]).relative_path / str(row["version"])
    return recorded


def _state(path: Path, size: int, sha256: str, folder: Path | None) -> tuple[str, str, str]:
    if folder is not None and not folder.is_dir():
        return "artifact removed", "", ""
    try:
        found_size = path.stat().st_size
        if found_size != size:
            return "other size", str(size), str(found_size)
        found = file_sha256(path)
    except FileNotFoundError:
        return "missing", "", ""
    except OSError as error:
        return "unreadable", sha256, str(error)
    return (INTACT, "", "") if found == sha256 else ("other content", sha256, found)
