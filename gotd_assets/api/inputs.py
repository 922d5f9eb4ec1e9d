"""What people hand over as pool or target: lists, frames, datasets, arrays or paths, written where stations read them."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.corpus.texts.rendering import fields_in, rendered
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

_WHAT_WILL_DO = (
    "give a list of texts, a polars or pandas frame or series, a Hugging Face or Arrow dataset, an array (n, D) of vectors, "
    "or paths of files"
)
_COLUMN = "text"


@dataclasses.dataclass(frozen=True)
class Given:
    """One source or target as it was handed over.

    Attributes:
        path: what `path` of a source or target in the settings says.
        field: what `fields.text` says.
        rows: gives the rows of these numbers as they came; None for files, which have their origin instead.
        vectors: (n, D) float32, if vectors were handed over in the place of texts.
    """

    path: Any
    field: str
    rows: Callable[[Sequence[int]], Any] | None = None
    vectors: npt.NDArray[np.float32] | None = None


def given(value: Any, name: str, folder: Path, text: str) -> Given:
    """`value`, written to `folder`/NAME.parquet unless it is files already.

    Args:
        value: what was handed over.
        name: of the source or target, for the file and for errors.
        folder: for the file.
        text: column or field that holds the text, where there are several.

    Raises:
        InputError: it is nothing that holds texts or vectors, has no such column, or is empty.
    """
    if isinstance(value, str | os.PathLike):
        return Given(_place(value), text)
    if isinstance(value, list | tuple) and value and all(isinstance(item, os.PathLike) for item in value):
        return Given([_place(item) for item in value], text)
    array = _array(value, name)
    if array is not None:
        texts = pl.Series(_COLUMN, names_of(array), dtype=pl.String)
        return Given(_written(texts, name, folder), _COLUMN, lambda rows: value[list(rows)], array)
    texts, rows = _texts(value, name, text)
    if not len(texts):
        raise InputError(f"{name}: there is not one row in it; {_WHAT_WILL_DO}")
    return Given(_written(texts, name, folder), _COLUMN, rows)


def names_of(vectors: npt.NDArray[np.float32]) -> list[str]:
    """A text for each of `vectors` (n, D), the same for the same vector: what stations know it by."""
    from hashlib import blake2b

    return [f"vector {blake2b(row.tobytes(), digest_size=16).hexdigest()}" for row in np.ascontiguousarray(vectors)]


def _place(path: str | os.PathLike[str]) -> str | Path:
    text = os.fspath(path)
    return text if "://" in text else Path.cwd() / Path(text).expanduser()


def _array(value: Any, name: str) -> npt.NDArray[np.float32] | None:
    """Vectors (n, D) float32 of a NumPy array or a tensor; None if `value` holds no numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray) or value.dtype.kind in "OUS":
        return None
    if value.ndim != 2 or not len(value) or value.dtype.kind != "f":
        raise InputError(
            f"{name}: an array of {value.dtype} with shape {value.shape}; vectors are floats of shape (n, D)"
        )
    return value.astype(np.float32)


def _texts(value: Any, name: str, text: str) -> tuple[pl.Series, Callable[[Sequence[int]], Any]]:
    """The texts of `value`, and what gives its rows as they are."""
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pl.DataFrame):
        return _rendered(value, value.columns, name, text, pl.DataFrame.to_dicts), lambda rows: value[list(rows)]
    if isinstance(value, pl.Series):
        return _strings(value, name), lambda rows: value[list(rows)]
    module = type(value).__module__.partition(".")[0]
    if module == "pandas":
        texts = (
            _strings(value.tolist(), name)
            if value.ndim == 1
            else _rendered(value, list(value.columns), name, text, lambda frame: frame.to_dict("records"))
        )
        return texts, lambda rows: value.iloc[list(rows)]
    if module == "datasets" and isinstance(value, Mapping):
        raise InputError(f"{name}: a dataset of several splits; give one of them: {', '.join(map(repr, value))}")
    if module == "datasets" and hasattr(value, "select_columns"):
        columns = value.column_names
        return _rendered(value, columns, name, text, list), lambda rows: value.select(list(rows))
    if module == "pyarrow":
        return _rendered(value, value.column_names, name, text, lambda table: table.to_pylist()), value.take
    if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        items = value if isinstance(value, Sequence | np.ndarray) else list(value)
        said = [rendered(item, text) if isinstance(item, Mapping) else item for item in items]
        return _strings(said, name), lambda rows: [items[row] for row in rows]
    raise InputError(f"{name}: {type(value).__name__} holds no texts; {_WHAT_WILL_DO}")


def _rendered(
    frame: Any, columns: Sequence[str], name: str, text: str, records: Callable[[Any], list[dict[str, Any]]]
) -> pl.Series:
    """A text for each row of a frame: of a column, or put together of several."""
    wanted = list(dict.fromkeys(field if field in columns else field.split(".")[0] for field in fields_in(text)))
    missing = next((field for field in wanted if field not in columns), None)
    if missing is not None:
        raise InputError(
            f"{name}: no column {missing!r}; it has: {', '.join(map(str, columns))}: name the one with the text as text=…"
        )
    if wanted == [text] and isinstance(frame, pl.DataFrame) and frame.schema[text] == pl.String:
        return _strings(frame[text], name)
    only = frame.select_columns(wanted) if hasattr(frame, "select_columns") else _selected(frame, wanted)
    return _strings([rendered(_without_nan(record), text) for record in records(only)], name)


def _without_nan(record: Mapping[str, Any]) -> dict[str, Any]:
    """Null as pandas writes it is NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in record.items()}


def _selected(frame: Any, columns: list[str]) -> Any:
    return frame.select(columns) if hasattr(frame, "select") else frame[columns]


def _strings(values: Any, name: str) -> pl.Series:
    """Text or null in every row; what is null is set aside and counted by the reader."""
    if isinstance(values, pl.Series) and values.dtype == pl.String:
        return values.alias(_COLUMN)
    items = [None if item is None or item != item else item for item in values]  # noqa: PLR0124 - NaN is how pandas writes null
    wrong = next((row for row, item in enumerate(items) if not isinstance(item, str | None)), None)
    if wrong is not None:
        raise InputError(
            f"{name}: row {wrong} is no text but {type(items[wrong]).__name__}: {str(items[wrong])[:60]!r}"
        )
    return pl.Series(_COLUMN, items, dtype=pl.String)


def _written(texts: pl.Series, name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    texts.to_frame().write_parquet(path)
    return path
