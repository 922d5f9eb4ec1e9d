"""Whether what is on disk still is what was recorded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.fingerprint import file_sha256

INTACT = "intact"
REMOTE = "remote"
_SCHEMA = {name: pl.String() for name in ("kind", "artifact", "version", "path", "state", "expected", "found")}


Stored: TypeAlias = Callable[[str, int], bool]
"""Whether a file is intact in an object store, by SHA-256 and size."""


def compare(recorded: pl.DataFrame, artifacts: Path | None, stored: Stored | None = None) -> pl.DataFrame:
    """Compare files with their recorded sizes and checksums.

    Args:
        recorded: kind, artifact, asset, partition, version, folder, file, size, sha256, needed.
        artifacts: where artifacts are now; None for where they were recorded.
        stored: asked of files that are missing here.

    Returns:
        One row per recorded file: kind, artifact, version, path, state, expected, found. `state` is 'intact',
        'missing', 'artifact removed' (its whole folder is gone, as after `gotd gc`, and the latest versions were not
        made of it), 'other size', 'other content',
        'unreadable' or 'remote' (behind a URL, so not compared).
    """
    with ThreadPoolExecutor() as executor:
        rows = list(executor.map(lambda row: _compared(row, artifacts, stored), recorded.iter_rows(named=True)))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _compared(row: dict[str, Any], artifacts: Path | None, stored: Stored | None) -> tuple[str, ...]:
    folder = _folder(row, artifacts)
    if folder is None and "://" in row["file"]:
        return row["kind"], row["artifact"], row["version"], row["file"], REMOTE, "", ""
    path = Path(row["file"]) if folder is None else folder / row["file"]
    if folder is not None and not folder.is_dir() and not row["needed"]:
        return row["kind"], row["artifact"], row["version"], str(path), "artifact removed", "", ""
    state, expected, found = _state(path, row["size"], row["sha256"])
    if state == "missing" and folder is not None and stored is not None and stored(row["sha256"], row["size"]):
        state = INTACT
    return row["kind"], row["artifact"], row["version"], str(path), state, expected, found


def _folder(row: dict[str, Any], artifacts: Path | None) -> Path | None:
    if row["kind"] == "source file":
        return None
    if artifacts is not None:
        return artifacts / ArtifactKey(row["asset"], row["partition"]).relative_path / str(row["version"])
    return None if row["folder"] is None else Path(row["folder"])


def _state(path: Path, size: int, sha256: str) -> tuple[str, str, str]:
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
