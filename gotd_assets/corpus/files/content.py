"""What is in the files of an entry, told by checksum."""

from __future__ import annotations

import json
import time
from pathlib import Path

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.corpus.files.copies import RemoteFiles
from gotd_assets.corpus.files.input_file import entry_label
from gotd_assets.corpus.files.paths import find_files
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256
from gotd_assets.settings.texts import HoldoutSettings, SourceSettings, TargetSettings

# Some file systems keep times in whole or even seconds.
_TICK_SECONDS = 2.0


def content_fingerprint(
    entry: SourceSettings | TargetSettings, root: Path, *, cache: Path, remote: RemoteFiles | None = None
) -> dict[str, str]:
    """SHA-256 of every file of `entry` by its name (relative to `root`, or a URL), held-out files of a target included.

    A remote file that `remote` does not fetch has the version that its server tells instead, unlike any checksum.

    Checksums are remembered in the JSON file `cache` by path, size, times and inode, so that unchanged files are not read
    again. The time of the last change of the inode is among them, as tools may set the modification time back. Several processes may share the file: each replaces it whole, and a checksum that another
    process overwrote is only computed once more.

    Raises:
        InputError: a path matches nothing, or a file is empty or cannot be read.
    """
    label = entry_label(entry)
    files = find_files(entry.path, entry.format, root, label, remote, follow_links=entry.follow_links).files
    holdout = entry.holdout if isinstance(entry, TargetSettings) else HoldoutSettings()
    if holdout.path is not None:
        files += find_files(
            holdout.path, entry.format, root, f"{label}.holdout", remote, follow_links=entry.follow_links
        ).files
    known = _read_cache(cache)
    started = time.time()
    fresh: dict[str, str] = {}
    checksums = {}
    for file in files:
        if remote is not None and remote.is_unfetched(file.path):
            checksums[file.name] = f"not fetched: {file.path.name}"
            continue
        try:
            status = file.path.stat()
            key = json.dumps([str(file.path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino])
            checksum = known.get(key) or file_sha256(file.path)
        except OSError as error:
            raise InputError(f"{label}: {file.path} cannot be read ({error}): check its permissions") from error
        # A change in the same tick of the clock would leave the times as they are.
        if key not in known and started - status.st_ctime > _TICK_SECONDS:
            fresh[key] = checksum
        checksums[file.name] = checksum
    if fresh:
        write_atomically(cache, json.dumps(_read_cache(cache) | fresh, indent=0, sort_keys=True))
    return checksums


def _read_cache(cache: Path) -> dict[str, str]:
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
