"""Looking into files before any work: whether they are there, can be read, and have the fields that are asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gotd_assets.corpus.files.input_file import InputFile
from gotd_assets.corpus.files.paths import find_files
from gotd_assets.corpus.reading.portion import Wanted
from gotd_assets.corpus.reading.records import portions, read_portion
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    from gotd_assets.settings.texts import Paths, SourceSettings


def look_at_texts(entry: SourceSettings, root: Path, label: str) -> None:
    """Look at the first records of every file of `entry`, which `label` names in messages; URLs are not fetched.

    Raises:
        InputError: no file is there, one has no record to be read at its beginning, or no record has the fields.
    """
    local = _local(entry.path)
    if not local:
        return
    wanted = [field for field in (entry.fields.text, *entry.fields.keep) if isinstance(field, str)]
    for file in find_files(local, entry.format, root, label, follow_links=entry.follow_links).files:
        _look(file, wanted, entry.max_record_bytes, label)


def _look(file: InputFile, wanted: Sequence[str], max_record_bytes: int, label: str) -> None:
    columns = [field.partition(".")[0] for field in wanted]
    needed = Wanted(columns, max_record_bytes)
    batches = (batch for portion in portions([file], needed) for batch in read_portion(portion, needed))
    for batch in itertools.islice(batches, 1):
        if batch.problems and not batch.records:
            first = batch.problems[0]
            raise InputError(
                f"{label}.path: {file.name} cannot be read ({first.reason}: {first.excerpt}): mend or replace it"
            )
        missing = [
            field
            for field, column in zip(wanted, columns, strict=True)
            if not any(column in record for record in batch.records)
        ]
        if batch.records and missing:
            raise InputError(
                f"{label}: none of the first {len(batch.records)} records of {file.name} has a field {missing[0]!r}; they have: "
                f"{', '.join(map(str, batch.records[0]))}"
            )


def _local(paths: Paths) -> list[str | Path]:
    return [path for path in (paths if isinstance(paths, list) else [paths]) if isinstance(path, Path)]
