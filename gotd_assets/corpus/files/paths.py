"""Which files an entry of gotd.yaml means."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gotd_assets.corpus.files.input_file import InputFile
from gotd_assets.corpus.files.names import name_of, path_of
from gotd_assets.corpus.files.walk import LeftOut, Walk, leads_inside
from gotd_assets.errors import InputError
from gotd_assets.settings.text_files import FORMATS, ending_of, why_left_out

if TYPE_CHECKING:
    from gotd_assets.corpus.files.copies import RemoteFiles
    from gotd_assets.settings.texts import Paths

_DATASET_STATE = "state.json"
_DATASET_SPLITS = "dataset_dict.json"
_NAMED = 3


@dataclasses.dataclass
class Found:
    """The files that an entry means, and what was found with them that is not read."""

    files: list[InputFile]
    left_out: list[LeftOut]


@dataclasses.dataclass
class _Matches:
    """What one path means: where each file is and how it is called, and what is left out."""

    files: list[tuple[Path, str]]
    left_out: list[LeftOut] = dataclasses.field(default_factory=list)


def find_files(
    paths: Paths,
    declared_format: str,
    root: Path,
    label: str,
    remote: RemoteFiles | None = None,
    *,
    follow_links: bool = False,
) -> Found:
    """The files that `paths` (files, folders, globs; relative to `root`) mean, sorted by name within each path.

    `label` names the entry in messages, e.g. "sources 'news'". A file that several paths match is taken once. URLs need
    `remote`, which fetches what they mean. Links lead out of a folder only with `follow_links`.

    Raises:
        InputError: a path matches nothing, a file is empty, its format cannot be told, or a URL cannot be read.
    """
    found: dict[Path, InputFile] = {}
    left_out: dict[LeftOut, None] = {}
    for pattern in paths if isinstance(paths, list) else [paths]:
        if isinstance(pattern, str):
            matches = _behind(pattern, declared_format, label, remote)
        else:
            matches = _expand(pattern, declared_format, root, follow_links=follow_links)
        if not matches.files:
            raise InputError(f"{label}.path '{pattern}' matches no file{_why(pattern, matches, root, label)}")
        for path, name in matches.files:
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
        left_out.update(dict.fromkeys(matches.left_out))
    files = [dataclasses.replace(file, number=number) for number, file in enumerate(found.values())]
    return Found(files, list(left_out))


def _why(pattern: Path | str, matches: _Matches, root: Path, label: str) -> str:
    if matches.left_out:
        named = "; ".join(f"{place.path}: {place.reason}" for place in matches.left_out[:_NAMED])
        more = f" and {len(matches.left_out) - _NAMED} more" if len(matches.left_out) > _NAMED else ""
        return f" that is read. Left out are {named}{more}: set {label}.format or follow_links, or correct the path"
    folder = "" if isinstance(pattern, str) else f" (folder: {root})"
    return f"{folder}: correct the path in gotd.yaml, or put the file there"


def _expand(pattern: Path, declared_format: str, root: Path, *, follow_links: bool) -> _Matches:
    path = path_of(str(pattern.expanduser()), root)
    if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a folder may not be looked into
        return _Matches([(path, name_of(path, root))])
    if os.path.isdir(path):  # noqa: PTH112 - likewise
        listed = _saved_dataset(path, declared_format)
        if listed is not None:
            return _Matches([(file, name_of(file, root)) for file in listed])
        walk = Walk.folder(path, declared_format, follow_links=follow_links)
    else:
        walk = Walk.pattern(path, declared_format, follow_links=follow_links)
    return _Matches(
        [(file, name_of(file, root)) for file in sorted(walk.files)],
        [LeftOut(name_of(place, root), reason) for place, reason in sorted(walk.left_out.items())],
    )


def _behind(url: str, declared_format: str, label: str, remote: RemoteFiles | None) -> _Matches:
    """The files that `url` means, by the same rules as local ones: path of the copy and whole URL of each."""
    if remote is None:
        raise InputError(f"{label}.path '{url}' is a URL, but no folder was given for copies of remote files")
    listing = remote.look(url, label)
    files = {file.url: file for file in listing.files}
    chosen = list(files)
    left_out: list[LeftOut] = []
    state = files.get(f"{listing.folder}/{_DATASET_STATE}")
    if listing.folder is not None and declared_format == "hf-dataset" and state is None:
        raise InputError(f"{url} is not a saved Hugging Face dataset (no {_DATASET_STATE}): name one of its splits")
    if listing.folder is not None and state is not None and declared_format in ("hf-dataset", "auto"):
        listed = _listed(remote.copy(state, label, needed=True), state.url)
        chosen = [f"{listing.folder}/{name}" for name in listed]
        missing = [name for name in chosen if name not in files]
        if missing:
            raise InputError(f"{state.url} lists {missing[0]}, which does not exist: save the dataset again")
    elif listing.folder is not None or len(files) > 1:
        reasons = {
            name: why_left_out(PurePosixPath(urlsplit(name.removeprefix(f"{listing.folder}/")).path), declared_format)
            if listing.folder is not None
            else why_left_out(PurePosixPath(PurePosixPath(urlsplit(name).path).name), declared_format)
            for name in files
        }
        chosen = [name for name, reason in reasons.items() if reason is None]
        left_out = [LeftOut(name, reason) for name, reason in reasons.items() if reason is not None]
    return _Matches([(remote.copy(files[name], label), name) for name in chosen], left_out)


def _listed(state: Path, name: str) -> list[str]:
    try:
        return [str(data["filename"]) for data in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{name} is malformed ({error}): save the dataset again with save_to_disk") from error


def _saved_dataset(folder: Path, declared_format: str) -> Sequence[Path] | None:
    """The files of a saved Hugging Face dataset; None if `folder` is read as any other."""
    if declared_format not in ("hf-dataset", "auto"):
        return None
    state = folder / _DATASET_STATE
    if not state.is_file():
        if declared_format == "auto" and not (folder / _DATASET_SPLITS).is_file():
            return None
        splits = sorted(str(child.parent.name) for child in folder.glob(f"*/{_DATASET_STATE}"))
        raise InputError(
            f"{folder} is not a saved Hugging Face dataset (no {_DATASET_STATE})"
            + (f": name one of its splits: {', '.join(splits)}" if splits else ": save it with save_to_disk")
        )
    files = [folder / name for name in _listed(state, str(state))]
    for file in files:
        if not leads_inside(file, folder):
            raise InputError(f"{state} lists {file}, which is outside the dataset: save it again with save_to_disk")
        if not file.is_file():
            raise InputError(f"{state} lists {file.name}, which does not exist: save the dataset again")
    return files


def _format(name: str, declared: str, label: str) -> str:
    if declared == "hf-dataset":
        return "arrow"
    if declared != "auto":
        return declared
    ending = ending_of(urlsplit(name).path if "://" in name else name)
    if ending not in FORMATS:
        raise InputError(f"{label}: the format of {name} cannot be told from its ending {ending!r}: set {label}.format")
    return FORMATS[ending]
