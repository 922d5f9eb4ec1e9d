"""Looking at a model's files without loading the model: cheap, and what is damaged is told in a sentence."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

INDEX = "model.safetensors.index.json"
"""Which tensor is in which file, where the weights are several."""
_POINTER = b"version https://git-lfs.github.com/spec/"
# The most that the library safetensors reads.
_MOST_HEADER = 100_000_000
_TOKENIZERS = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "spm.model"),
    *("tokenizer.model", "source.spm", "tokenizer_config.json"),
)


def json_of(file: Path, setting: str) -> Any:
    """What the JSON file says.

    Raises:
        InputError: it cannot be read, is a pointer of Git LFS, or is no JSON.
    """
    content = _content(file, setting)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{setting}: {file} is no JSON ({error}): it is damaged or cut off; copy it again") from error


def json_object(file: Path, setting: str) -> dict[str, Any]:
    """What the JSON file says, which must be an object; empty if there is no such file.

    Raises:
        InputError: as `json_of`, or it holds something else.
    """
    if not file.is_file():
        return {}
    said = json_of(file, setting)
    if not isinstance(said, dict):
        raise InputError(f"{setting}: {file} holds {type(said).__name__} where an object {{…}} belongs; copy it again")
    return said


def tensors_of(file: Path, setting: str) -> dict[str, dict[str, Any]]:
    """Name, dtype, shape and place of every tensor in a safetensors file; its numbers are not read.

    Raises:
        InputError: it is a pointer of Git LFS, is cut off, has bytes too many, or is no safetensors file.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            first = opened.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
            header = opened.read(length) if length <= _MOST_HEADER else b""
    except OSError as error:
        raise _unreadable(file, setting, error) from error
    refuse_pointer(file, setting)
    if len(first) < 8 or (len(header) < length and header[:1] == b"{"):
        raise InputError(f"{setting}: {file} is cut off: {size:,} bytes are there; copy or download it again")
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        end = 8 + length + max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise InputError(
            f"{setting}: {file} is no safetensors file, its header cannot be read: it is damaged; copy it again"
        ) from error
    if size < end:
        raise InputError(
            f"{setting}: {file} is cut off: {size:,} of its {end:,} bytes are there; copy or download it again"
        )
    if size > end:
        raise InputError(
            f"{setting}: {file} has {size - end:,} bytes more than its header says: it is damaged; copy it again"
        )
    found: dict[str, dict[str, Any]] = tensors
    return found


def tokenizer_of(file: Path, setting: str) -> Tokenizer:
    """The tokenizer in a tokenizer.json.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from tokenizers import Tokenizer

    content = _content(file, setting)
    try:
        return Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing narrower
        raise InputError(
            f"{setting}: {file} is no tokenizer ({error}): it is damaged or cut off; copy it again"
        ) from error


def look_at_weights(folder: Path, setting: str) -> None:
    """Look at the headers and sizes of all safetensors of a folder, and whether its index names files that are there.

    Raises:
        InputError: something is missing or damaged.
    """
    names = {file.name: tensors_of(file, setting) for file in sorted(folder.glob("*.safetensors"))}
    if not (folder / INDEX).is_file() or "model.safetensors" in names:
        return
    places = json_object(folder / INDEX, setting).get("weight_map")
    if not isinstance(places, dict):
        raise InputError(f"{setting}: {folder / INDEX} has no 'weight_map': it is damaged; copy it again")
    absent = sorted({str(file) for file in places.values()} - set(names))
    if absent:
        raise InputError(
            f"{setting}: {folder} lacks {', '.join(absent[:3])}{', …' if absent[3:] else ''}, of which {INDEX} says that "
            "weights are there: download the rest"
        )
    lost = sorted(name for name, file in places.items() if name not in names[str(file)])
    if lost:
        raise InputError(
            f"{setting}: {folder}: {places[lost[0]]} does not hold {lost[0]}, of which {INDEX} says so ({len(lost)} "
            "such tensors): the files do not belong together"
        )


def look_at_tokenizer(folder: Path, setting: str) -> None:
    """Look whether there is a tokenizer, and load it if it is a tokenizer.json.

    Raises:
        InputError: there is none, or it is damaged.
    """
    if (folder / "tokenizer.json").is_file():
        tokenizer_of(folder / "tokenizer.json", setting)
    elif not any((folder / name).is_file() for name in _TOKENIZERS):
        raise InputError(
            f"{setting}: {folder} has no tokenizer (tokenizer.json): copy it from where the model is from, or save it "
            "there with save_pretrained"
        )


def look_at_json(folder: Path, setting: str) -> None:
    """Look whether the small JSON files of a folder are JSON.

    Raises:
        InputError: one is not.
    """
    for file in sorted(folder.glob("*.json")):
        if file.name not in ("tokenizer.json", "vocab.json"):
            json_of(file, setting)


def remote_code(folder: Path, setting: str) -> Iterator[Path]:
    """The Python files that come with a model.

    Raises:
        InputError: its config.json names code in a repository elsewhere, which no revision pins.
    """
    named = json_object(folder / "config.json", setting).get("auto_map") or {}
    elsewhere = sorted(set(re.findall(r"([\w./-]+)--", json.dumps(named))))
    if elsewhere:
        raise InputError(
            f"{setting}: {folder / 'config.json'} takes its code from {elsewhere[0]}, as it is there today, so that runs "
            f"would not repeat: copy the .py files into {folder} and take '{elsewhere[0]}--' out of auto_map"
        )
    yield from sorted(folder.rglob("*.py"))


def _content(file: Path, setting: str) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, setting, error) from error
    refuse_pointer(file, setting)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{setting}: {file} is not UTF-8 ({error}): it is damaged; copy it again") from error


def refuse_pointer(file: Path, setting: str) -> None:
    """Look whether a file is one, and not the pointer to one that Git LFS leaves where it is not installed.

    Raises:
        InputError: it is a pointer.
    """
    with file.open("rb") as opened:
        start = opened.read(512)
    if start.startswith(_POINTER):
        wanted = re.search(rb"size (\d+)", start)
        size = f" of {int(wanted[1]):,} bytes" if wanted else ""
        raise InputError(
            f"{setting}: {file} is a pointer of Git LFS, not the file{size} that it stands for: run `git lfs pull` where "
            "the model was cloned, or download the file"
        )


def _unreadable(file: Path, setting: str, error: OSError) -> InputError:
    return InputError(
        f"{setting}: {file} cannot be read ({error.strerror or error}): copy it again, or mend its rights"
    )
