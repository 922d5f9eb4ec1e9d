"""What the columns of an artifact mean, and which columns before them they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gotd_assets.artifacts.artifact import Artifact
from gotd_assets.artifacts.parquet import parquet_columns

Origin: TypeAlias = tuple[str, str]
"""An asset and one of its columns."""

DOCUMENT_COLUMNS = {
    "doc_id": "128-bit BLAKE2b of the cleaned text, as 32 hex digits: equal texts are one document.",
    "text": "The cleaned text, cut or joined as `preparation` says.",
    "source": "Name of the source or target that it was read from.",
    "origin": "File and record, relative to the project's folder: data/part-0.jsonl:17.",
    "original_id": "The record's own id, if it had one.",
    "n_chars": "Length of the text in characters.",
}


def _nothing(_: Artifact) -> Mapping[str, Sequence[Origin]]:
    return {}


@dataclasses.dataclass(frozen=True)
class Table:
    """The table that stands for an asset: its first file that fits `pattern`, and what its columns are.

    Attributes:
        pattern: of file names.
        columns: description of every column there may be.
        origins: columns of other assets that a column is made of.
        carried: asset whose further columns come along unchanged.
        also: further origins, which depend on the artifact.
    """

    pattern: str
    columns: Mapping[str, str]
    origins: Mapping[str, Sequence[Origin]] = dataclasses.field(default_factory=dict)
    carried: str | None = None
    also: Callable[[Artifact], Mapping[str, Sequence[Origin]]] = _nothing


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of an artifact: its type, what it means, and what it is made of."""

    name: str
    type: str
    description: str
    origins: Sequence[Origin]


def columns_of(artifact: Artifact, table: Table) -> list[Column]:
    """The columns of `artifact` as its file has them; none if it has no such file."""
    paths = sorted(artifact.path.glob(table.pattern))
    if not paths:
        return []
    types = _types(str(paths[0]))
    also = table.also(artifact)
    return [
        Column(
            name,
            kind,
            table.columns.get(name, f"Field {name!r} of the record, kept as it was."),
            also.get(name, ()) or table.origins.get(name, ()) or _carried(name, table),
        )
        for name, kind in types.items()
    ]


def _carried(name: str, table: Table) -> Sequence[Origin]:
    known = table.columns.keys() - DOCUMENT_COLUMNS.keys()
    return () if table.carried is None or name in known else [(table.carried, name)]


def _types(path: str) -> dict[str, str]:
    if path.endswith(".parquet"):
        return parquet_columns(Path(path))
    if path.endswith(".npy"):
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        return {"doc_id": "String", "vector": f"{vectors.dtype}[{vectors.shape[1]}]"}
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in sorted(file.keys())}
        return {name: f"{part.get_dtype()}{part.get_shape()[1:] or ''}" for name, part in slices.items()}
