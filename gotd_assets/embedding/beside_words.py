"""An encoder's vectors with lexical ones beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gotd_assets.embedding.encoder import Encoder, as_stored, without_words
from gotd_assets.embedding.encoders.lexical import LexicalEncoder, beside

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.settings.encoder import EncoderSettings


class BesideWords:
    """`encoder` with the words used, which have the share `settings.lexical` of squared distances."""

    def __init__(self, encoder: Encoder, settings: EncoderSettings, root: Path) -> None:
        self._encoder, self._settings = encoder, settings
        self._share = float(settings.lexical or 0)
        self._words = LexicalEncoder(settings, root)
        self.dimension = encoder.dimension + self._words.dimension

    def encode(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[np.float32]]:
        """Vectors (n, D) float32 of `texts`, some at a time."""
        start = 0
        for own in self.own(texts, tick):
            yield self.join(own, texts[start : start + len(own)])
            start += len(own)

    def own(self, texts: Sequence[str], tick: Callable[[int, int], None]) -> Iterator[npt.NDArray[Any]]:
        """The encoder's vectors alone, as they are stored."""
        alone = without_words(self._settings)
        return (as_stored(raw, alone) for raw in self._encoder.encode(texts, tick))

    def join(self, own: npt.NDArray[Any], texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of which the encoder's part is known; one that is not usable stays so."""
        words = np.concatenate([*self._words.encode(texts, lambda *_: None)])
        return beside(own, words, self._share)
