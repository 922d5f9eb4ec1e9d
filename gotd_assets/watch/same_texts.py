"""Whether files that differ hold the same texts: rows that changed places, or moved to another file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.corpus.files.copies import RemoteFiles
from gotd_assets.corpus.files.input_file import entry_label
from gotd_assets.corpus.files.paths import find_files
from gotd_assets.corpus.shards import scan_documents
from gotd_assets.corpus.targets import read_target
from gotd_assets.errors import GotdError

if TYPE_CHECKING:
    import polars as pl

    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.settings.project import Project
    from gotd_assets.settings.texts import TargetSettings

# A look must be quick; a larger target counts as changed.
_READ_BYTES = 16 * 2**20


def same_rows(target: TargetSettings, project: Project, documents: Artifact) -> bool:
    """Whether the files of `target`, read now, give the texts in `documents`, on the same side of the split.

    Args:
        target: a small one is read; one of more than 16 MiB, or behind URLs and not fetched yet, is not the same.
        project: settings and folder.
        documents: the target's documents as they stand.
    """
    remote = RemoteFiles(project.home.remote, fetch=False)
    with tempfile.TemporaryDirectory(prefix="gotd-look-") as folder:
        try:
            label = entry_label(target)
            found = find_files(
                target.path, target.format, project.root, label, remote, follow_links=target.follow_links
            )
            files = found.files
            if any(remote.is_unfetched(file.path) for file in files):
                return False
            if sum(file.path.stat().st_size for file in files) > _READ_BYTES:
                return False
            settings = project.settings
            left_out = documents.manifest.parameters.get("forgotten", [])
            read_target(
                target,
                settings.preparation,
                project.root,
                Path(folder),
                encoder=settings.encoder,
                remote=remote,
                forgotten=[str(doc_id) for doc_id in left_out] if isinstance(left_out, list) else [],
            )
            return all(
                _texts(Path(folder) / side).equals(_texts(documents.path / side)) for side in ("train", "heldout")
            )
        except (GotdError, OSError):
            # The run says what is wrong with them.
            return False


def _texts(side: Path) -> pl.DataFrame:
    """Documents in an order of their own, without where they stand."""
    return scan_documents(side).drop("origin").sort("doc_id").collect()
