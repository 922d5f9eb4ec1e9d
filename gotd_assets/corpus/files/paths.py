"""Which files an entry of gotd.yaml means, and what is in them, told by checksum."""

from __future__ import annotations

import dataclasses
import glob
import json
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gotd_assets.corpus.files.copies import RemoteFiles
from gotd_assets.corpus.files.input_file import COMPRESSIONS, InputFile
from gotd_assets.errors import InputError
from gotd_assets.settings.texts import Paths

if TYPE_CHECKING:
    pass


_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".md": "text",
}
_DATASET_STATE = "state.json"


def find_files(
    paths: Paths, declared_format: str, root: Path, label: str, remote: RemoteFiles | None = None
) -> list[InputFile]:
    """The files that `paths` (files, folders, globs; relative to `root`) mean, sorted by name within each path.

    `label` names the entry in messages, e.g. "sources 'news'". A file that several paths match is taken once. URLs need
    `remote`, which fetches what they mean.

    Raises:
        InputError: a path matches nothing, a file is empty, its format cannot be told, or a URL cannot be read.
    """
    found: dict[Path, InputFile] = {}
    for pattern in paths if isinstance(paths, list) else [paths]:
        if isinstance(pattern, str):
            matches = _behind(pattern, declared_format, label, remote)
        else:
            matches = [(path, _name(path, root)) for path in _expand(pattern, declared_format, root)]
        if not matches:
            folder = "" if isinstance(pattern, str) else f" (folder: {root})"
            raise InputError(
                f"{label}.path '{pattern}' matches no file{folder}: correct the path in gotd.yaml, or put the file there"
            )
        for path, name in matches:
            # What is not fetched yet is not there to be looked into.
            if (not isinstance(pattern, str) or path.is_file()) and path.stat().st_size == 0:
                raise InputError(f"{label}.path '{pattern}': the file {name} is empty: fill it or take it out")
            file = InputFile(path, name, _format(name, declared_format, label))
            if file.compression and file.format in ("parquet", "arrow"):
                raise InputError(
                    f"{label}.path '{pattern}': {name} is a compressed {file.format} file, which cannot be read in "
                    "parts: unpack it first (its columns may be compressed inside)"
                )
            found.setdefault(path, file)
    return [dataclasses.replace(file, number=number) for number, file in enumerate(found.values())]


def _expand(pattern: Path, declared_format: str, root: Path) -> list[Path]:
    path = root / pattern.expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return _files_of_folder(path, declared_format)
    return sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_file())  # noqa: PTH207 - the pattern may be absolute


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _behind(url: str, declared_format: str, label: str, remote: RemoteFiles | None) -> list[tuple[Path, str]]:
    """The files that `url` means, by the same rules as local ones: path of the copy and whole URL of each."""
    if remote is None:
        raise InputError(f"{label}.path '{url}' is a URL, but no folder was given for copies of remote files")
    listing = remote.look(url, label)
    files = {file.url: file for file in listing.files}
    chosen = list(files)
    if listing.folder is not None:
        state = files.get(f"{listing.folder}/{_DATASET_STATE}")
        if declared_format == "hf-dataset" and state is None:
            raise InputError(f"{url} is not a saved Hugging Face dataset (no {_DATASET_STATE}): name one of its splits")
        if state is not None and declared_format in ("hf-dataset", "auto"):
            listed = _listed(remote.copy(state, label, COMPRESSIONS, needed=True), state.url)
            chosen = [f"{listing.folder}/{name}" for name in listed]
            missing = [name for name in chosen if name not in files]
            if missing:
                raise InputError(f"{state.url} lists {missing[0]}, which does not exist: save the dataset again")
        else:
            inner = {name: PurePosixPath(urlsplit(name.removeprefix(f"{listing.folder}/")).path) for name in files}
            chosen = [name for name in files if _is_taken(inner[name], declared_format)]
    return [(remote.copy(files[name], label, COMPRESSIONS), name) for name in chosen]


def _listed(state: Path, name: str) -> list[str]:
    try:
        return [str(data["filename"]) for data in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name} is malformed ({error}): save the dataset again with save_to_disk") from error


def _is_taken(inner: PurePath, declared_format: str) -> bool:
    """Whether a file of a folder is read, by its path in it."""
    is_hidden = any(part.startswith(".") for part in inner.parts)
    return not is_hidden and (declared_format != "auto" or _suffix(inner) in _FORMATS)


def _files_of_folder(folder: Path, declared_format: str) -> list[Path]:
    state = folder / _DATASET_STATE
    if declared_format == "hf-dataset" or (declared_format == "auto" and state.is_file()):
        if not state.is_file():
            splits = sorted(str(child.parent.name) for child in folder.glob(f"*/{_DATASET_STATE}"))
            raise InputError(
                f"{folder} is not a saved Hugging Face dataset (no {_DATASET_STATE})"
                + (f": name one of its splits: {', '.join(splits)}" if splits else ": save it with save_to_disk")
            )
        return [folder / name for name in _listed(state, str(state))]
    files: Sequence[Path] = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if _is_taken(path.relative_to(folder), declared_format)]


def _suffix(path: PurePath) -> str:
    return (path.with_suffix("") if path.suffix in COMPRESSIONS else path).suffix.lower()


def _format(name: str, declared: str, label: str) -> str:
    if declared == "hf-dataset":
        return "arrow"
    if declared != "auto":
        return declared
    suffix = _suffix(PurePosixPath(urlsplit(name).path) if "://" in name else PurePath(name))
    if suffix not in _FORMATS:
        raise InputError(f"{label}: the format of {name} cannot be told from its ending {suffix!r}: set {label}.format")
    return _FORMATS[suffix]
