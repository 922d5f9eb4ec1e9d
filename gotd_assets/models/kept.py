"""What a model says of documents, kept shard by shard for other targets and runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from gotd_assets.artifacts.atomic import replaced
from gotd_assets.fingerprint import fingerprint

if TYPE_CHECKING:
    import numpy.typing as npt


def kept_by_shard(
    folder: Path, documents: pl.DataFrame, measure: Callable[[list[str]], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """`measure` of the texts (n,) of `documents` (doc_id, text), unless a file in `folder` has it.

    Safe among processes: a shard measured twice is the same.
    """
    file = folder / f"{fingerprint(documents.get_column('doc_id').to_list())}.npy"
    if not file.is_file():
        found = measure(documents.get_column("text").to_list())
        with replaced(file) as partial, partial.open("wb") as out:
            np.save(out, found)
    known: npt.NDArray[np.float64] = np.load(file, allow_pickle=False)
    return known
