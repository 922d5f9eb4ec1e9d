"""A selection as the records that it was made of: as they came, in the user's own format."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey
from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.corpus.files.copies import RemoteFiles
from gotd_assets.corpus.files.paths import find_files
from gotd_assets.corpus.originals import copy_originals
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256
from gotd_assets.settings.project import Project

_OF_FILE = "file:"


def export_originals(project: Project, selection: Artifact, folder: Path) -> list[Path]:
    """Write the records behind `selection`, best first, to `folder`: a file for each source and format; their paths.

    A record of which several pieces were selected comes once.

    Raises:
        InputError: a file is not what it was when the selection was made, or is gone.
    """
    subset = read_parquet(selection.file("subset.parquet"), columns=["source", "origin", "rank"]).sort("rank")
    store = ArtifactStore.of(project)
    written = []
    for name in subset.get_column("source").unique(maintain_order=True):
        raw = store.input_of(selection, ArtifactKey("raw_candidates", name))
        checksums = {
            key.removeprefix(_OF_FILE): sha for key, sha in raw.manifest.inputs.items() if key.startswith(_OF_FILE)
        }
        entry = project.settings.source(name)
        remote = RemoteFiles(project.home.remote, lambda _: None)
        found = find_files(
            entry.path, entry.format, project.root, f"sources {name!r}", remote, follow_links=entry.follow_links
        )
        files = {file.name: file for file in found.files}
        origins = subset.filter(pl.col("source") == name).get_column("origin").unique(maintain_order=True)
        places = []
        for origin in origins:
            file, _, row = origin.rpartition(":")
            places.append((file, int(row)))
        for file in dict.fromkeys(file for file, _ in places):
            if file not in files:
                raise InputError(
                    f"{file} is gone since the selection was made: bring it back, or select again (gotd run)"
                )
            if file_sha256(files[file].path) != checksums.get(file):
                raise InputError(
                    f"{file} changed since the selection was made: select again (gotd run) and export then"
                )
        written += copy_originals([(files[file], row) for file, row in places], folder, name)
    return written
