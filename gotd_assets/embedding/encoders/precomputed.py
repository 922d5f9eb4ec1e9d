"""Vectors that already exist, joined to documents by doc_id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from gotd_assets.artifacts.parquet import read_parquet
from gotd_assets.embedding.store import ID_BYTES, SEGMENT_ROWS, hex_ids
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.models.encoder_folder import SETTING
from gotd_assets.models.location import find_model

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.settings.encoder import EncoderSettings

_REMEDY = (
    "give a folder with vectors.npy (n, D) and ids.npy or ids.txt, a .parquet file with columns doc_id and vector, "
    "or a .safetensors file with tensors 'vectors' (n, D) and 'ids' (n, 16) uint8"
)


class PrecomputedVectors:
    """Vectors of a file the user gives; `encoder.model` names it. Ids are doc_ids: 32 hex digits or 16 bytes.

    A document is looked up by the hash of its normalised text, which is its doc_id; one without a vector gets NaN,
    and so ends in quarantine.

    Raises:
        InputError: the file is missing or malformed, its ids are no doc_ids, repeat, or differ in number from its rows.
    """

    def __init__(self, settings: EncoderSettings, root: Path) -> None:
        path = find_model(settings.model, root, SETTING)
        if path is None:
            raise InputError(f"encoder.model: {root / settings.model} is not there: {_REMEDY}")
        try:
            ids, self.vectors = _read(path)
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
            raise InputError(f"encoder.model: {path} cannot be read as vectors ({error}): {_REMEDY}") from error
        if self.vectors.ndim != 2 or not np.issubdtype(self.vectors.dtype, np.floating):
            shape, dtype = self.vectors.shape, self.vectors.dtype
            raise InputError(f"encoder.model: {path} holds {dtype} of shape {shape}, not floats of shape (n, D)")
        if len(ids) != len(self.vectors):
            raise InputError(
                f"encoder.model: {path} has {len(ids)} ids for {len(self.vectors)} vectors: row k needs id k"
            )
        malformed = ids.is_null() | ~ids.str.contains(r"^[0-9a-f]{32}$").fill_null(value=False)
        if malformed.any():
            row = int(malformed.arg_max() or 0)
            raise InputError(
                f"encoder.model: {path}: id {ids[row]!r} of row {row} is no doc_id (32 lower-case hex digits)"
            )
        if ids.is_duplicated().any():
            row = int(ids.is_duplicated().arg_max() or 0)
            raise InputError(f"encoder.model: {path}: id {ids[row]!r} of row {row} stands there more than once")
        self._rows = pl.DataFrame({"doc_id": ids}).with_row_index("row")
        self.dimension = self.vectors.shape[1]

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of `texts`, some at a time; NaN where the file has none."""
        for start in range(0, len(texts), SEGMENT_ROWS):
            doc_ids = [document_id(text) for text in texts[start : start + SEGMENT_ROWS]]
            wanted = pl.DataFrame({"doc_id": doc_ids}, schema={"doc_id": pl.String})
            rows = wanted.join(self._rows, on="doc_id", how="left", maintain_order="left").get_column("row")
            known = rows.is_not_null().to_numpy()
            vectors = np.full((len(doc_ids), self.dimension), np.nan, dtype=np.float32)
            vectors[known] = self.vectors[rows.drop_nulls().to_numpy()]
            tick(len(doc_ids), 0)
            yield vectors


def _read(path: Path) -> tuple[pl.Series, npt.NDArray[Any]]:
    if path.is_dir():
        listed = path / "ids.txt"
        ids = (
            pl.Series("doc_id", listed.read_text(encoding="utf-8").split(), dtype=pl.String)
            if listed.is_file()
            else _ids(np.load(path / "ids.npy", allow_pickle=False))
        )
        return ids, np.load(path / "vectors.npy", mmap_mode="r", allow_pickle=False)
    if path.suffix == ".parquet":
        frame = read_parquet(path, columns=["doc_id", "vector"])
        return frame.get_column("doc_id").cast(pl.String), _matrix(frame.get_column("vector"))
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise ValueError(error) from error
        return _ids(tensors["ids"]), tensors["vectors"]
    raise ValueError(f"unknown file type {path.suffix!r}")


def _matrix(vectors: pl.Series) -> npt.NDArray[np.float32]:
    """(n, D) of a column of lists or arrays; what is null is NaN."""
    if isinstance(vectors.dtype, pl.List):
        lengths = vectors.list.len()
        width = max(lengths.drop_nulls().mode().to_list(), default=0)
        other = (lengths != width).fill_null(value=False)
        if other.any():
            row = int(other.arg_max() or 0)
            raise ValueError(f"row {row} has {lengths[row]} numbers, most have {width}")
        vectors = vectors.list.to_array(width)
    if not isinstance(vectors.dtype, pl.Array):
        raise pl.exceptions.SchemaError(f"column vector holds {vectors.dtype}, not lists of numbers")
    return vectors.cast(pl.Array(pl.Float32, vectors.dtype.size)).to_numpy()


def _ids(array: npt.NDArray[Any]) -> pl.Series:
    if array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == ID_BYTES:
        return hex_ids(array)
    if array.dtype.kind not in "SU":
        raise ValueError(f"ids are {array.dtype} of shape {array.shape}")
    return pl.Series("doc_id", array.astype("U").tolist(), dtype=pl.String)
