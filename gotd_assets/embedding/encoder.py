"""What every encoder is, and how its vectors are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gotd_assets.embedding.vectors import unit_rows
from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.settings.encoder import EncoderSettings


class Encoder(Protocol):
    """Text to vectors."""

    dimension: int

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) of `texts` in their order, `SEGMENT_ROWS` of them at a time or fewer; each part is kept as it comes.

        `tick(documents, tokens)` reports progress.
        """
        ...


def without_words(settings: EncoderSettings) -> EncoderSettings:
    """The encoder alone, without words beside it."""
    return settings.model_copy(update={"lexical": None})


def as_stored(vectors: npt.NDArray[np.float32], settings: EncoderSettings) -> npt.NDArray[Any]:
    """`vectors` (n, D) as they are kept: of length 1 and in the number format that `settings` ask for.

    Raises:
        InputError: they are too large for that format.
    """
    if settings.normalize:
        vectors = unit_rows(vectors)
    if settings.storage_dtype == "float16" and len(vectors) and np.nanmax(np.abs(vectors)) > np.finfo(np.float16).max:
        raise InputError("vectors are too large for half precision: set encoder.storage_dtype to float32, or normalize")
    return vectors.astype(np.dtype(settings.storage_dtype))
