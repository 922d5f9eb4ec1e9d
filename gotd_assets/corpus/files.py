"""Which files a source or target means, and what is in them by checksum."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256
from gotd_assets.settings import SourceSettings, TextInputSettings
from gotd_assets.storage import write_atomically

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".md": "text",
}
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


def find_files(entry: TextInputSettings, root: Path) -> list[Path]:
    """The files of `entry`, sorted by path.

    Raises:
        InputError: a path matches nothing, or a file is empty or cannot be read.
    """
    paths = entry.path if isinstance(entry.path, list) else [entry.path]
    found: set[Path] = set()
    for path in paths:
        matches = _matches(root / path.expanduser())
        if not matches:
            raise InputError(
                f"{_kind(entry)} {entry.name!r}: path {str(path)!r} matches no file (folder: {root}): "
                "correct it in gotd.yaml, or put the file there"
            )
        found.update(matches)
    for file in found:
        if not os.access(file, os.R_OK):
            raise InputError(f"{_kind(entry)} {entry.name!r}: {file} cannot be read: check its permissions")
        if file.stat().st_size == 0:
            raise InputError(f"{_kind(entry)} {entry.name!r}: {file} is empty: remove it or fill it")
    return sorted(found)


def display_name(file: Path, root: Path) -> str:
    """`file` relative to the project's folder when it lies below it, as origins and checksums name it."""
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


def format_of(entry: TextInputSettings, file: Path) -> str:
    """The format that `file` is read as.

    Raises:
        InputError: the format is 'auto' and the file's ending says nothing.
    """
    if entry.format != "auto":
        return "arrow" if entry.format == "hf-dataset" else entry.format
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if suffixes and suffixes[-1] in _FORMATS:
        return _FORMATS[suffixes[-1]]
    raise InputError(
        f"{_kind(entry)} {entry.name!r}: the format of {file} cannot be told from its name; set `format` "
        f"({', '.join(sorted(set(_FORMATS.values())))}, text-lines)"
    )


def content_fingerprint(entry: TextInputSettings, root: Path, *, cache: Path) -> dict[str, str]:
    """SHA-256 by file name of everything `entry` reads.

    Checksums are remembered in the JSON file `cache` by path, size, modification time and inode, so that unchanged
    files are not read again.

    Raises:
        InputError: as `find_files`.
    """
    known = _read_cache(cache)
    checksums, fresh = {}, {}
    for file in find_files(entry, root):
        status = file.stat()
        identity = f"{file}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
        checksum = known.get(identity) or file_sha256(file)
        checksums[display_name(file, root)] = checksum
        fresh[identity] = checksum
    if fresh.keys() - known.keys():
        # Another process may have written meanwhile; its entries are kept, and a lost one costs a second look.
        write_atomically(cache, json.dumps({**_read_cache(cache), **fresh}, indent=0, sort_keys=True))
    return checksums


def _matches(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        if (path / "dataset_info.json").is_file() or (path / "state.json").is_file():
            return sorted(path.glob("*.arrow"))
        return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    pattern = str(path)
    magic = next((i for i, part in enumerate(path.parts) if any(sign in part for sign in "*?[")), None)
    if magic is None:
        return []
    base = Path(*path.parts[:magic])
    with contextlib.suppress(OSError):
        return [file for file in base.glob(str(Path(*path.parts[magic:]))) if file.is_file()]
    raise InputError(f"the pattern {pattern!r} cannot be searched")


def _read_cache(cache: Path) -> Mapping[str, str]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(cache.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def _kind(entry: TextInputSettings) -> str:
    return "source" if isinstance(entry, SourceSettings) else "target"
