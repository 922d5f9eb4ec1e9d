"""A first look into files: which fields their records have, which one is the text, and about how many there are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.corpus.files.paths import find_files
from gotd_assets.corpus.reading.portion import Wanted
from gotd_assets.corpus.reading.records import portions, read_portion
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from gotd_assets.corpus.files.input_file import InputFile

_RECORDS = 200
_LARGEST_RECORD = 16 * 2**20
_USUAL = ("text", "content", "body")


@dataclasses.dataclass(frozen=True)
class Look:
    """What a first look at files found.

    Attributes:
        files: number of files.
        records: about how many records are in all of them; a lower bound where files are compressed.
        fields: names of the fields of their records.
        field: the one that is most likely the text; None if none holds any.
        texts: the text of the first records.
    """

    files: int
    records: int
    fields: tuple[str, ...]
    field: str | None
    texts: tuple[str, ...]


def look(path: Path, label: str) -> Look:
    """Look into the first file that `path` (file, folder or glob) means.

    Args:
        path: absolute, or relative to the working directory.
        label: names it in errors.

    Raises:
        InputError: it matches nothing, or its format cannot be told.
    """
    files = find_files(path, "auto", Path.cwd(), label).files
    first = files[0]
    try:
        records, total = _first_records(first)
    except (OSError, ValueError, ArithmeticError) as error:
        raise InputError(f"{label}: {first.path} cannot be read as {first.format} ({error})") from error
    if first.format == "text":
        total = len(files)
    else:
        size = max(first.path.stat().st_size, 1)
        total = round(total * sum(file.path.stat().st_size for file in files) / size)
    fields = tuple(dict.fromkeys(name for record in records for name in record))
    field = _text_field(records, fields)
    texts = tuple(str(record[field]) for record in records if field and isinstance(record.get(field), str))
    return Look(len(files), total, fields, field, texts)


def _first_records(file: InputFile) -> tuple[list[dict[str, Any]], int]:
    """Some records of a file, and about how many it has.

    Raises:
        ValueError: it cannot be read.
    """
    # No fields named: all.
    wanted = Wanted((), _LARGEST_RECORD)
    found = portions([file], wanted)
    portion = next(found, None)
    batches = [] if portion is None else list(read_portion(portion, wanted))
    records = [record for batch in batches for record in batch.records]
    damages = [damage for batch in batches for damage in batch.damages]
    if damages and not records:
        raise ValueError(damages[0].reason)
    total = len(records)
    if next(found, None) is not None:
        total = max(total, round(total * file.path.stat().st_size / max(1, sum(batch.size for batch in batches))))
    if file.format == "parquet":
        import pyarrow.parquet as pq

        total = pq.read_metadata(file.path).num_rows
    return records[:_RECORDS], total


def _text_field(records: list[dict[str, Any]], fields: tuple[str, ...]) -> str | None:
    """The field called as text usually is, else the one with most characters."""
    lengths = {
        name: sum(len(value) for record in records if isinstance(value := record.get(name), str)) for name in fields
    }
    usual = next((name for name in _USUAL if lengths.get(name)), None)
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    return usual or (longest if longest is not None and lengths[longest] else None)
