"""Scoring a stream: fitted to a target once, then asked about any texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gotd_assets.api.making import EncoderLike, Making
    from gotd_assets.embedding.encoder import Encoder
    from gotd_assets.transport import Certificate, Potentials


class Selector:
    """Learns what a target needs, and scores texts by it.

    Args:
        encoder: as in `select`.
        text: column or field that holds the text.
        home: folder to keep vectors and lineage in; by default a temporary one.
        progress: whether a bar is shown; by default in notebooks and on terminals.
        settings: further sections of gotd.yaml.
    """

    def __init__(
        self,
        encoder: EncoderLike = None,
        *,
        text: str = "text",
        home: str | Path | None = None,
        progress: bool | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._encoder = encoder
        self._text = text
        self._home = home
        self._progress = progress
        self._settings = dict(settings or {})
        self._target: Any = None
        self._making: Making | None = None
        self._potentials: Potentials | None = None
        self._loaded: Encoder | None = None

    def fit(self, target: Any, pool: Any = None) -> Self:
        """Learn what `target` needs, beside what is in `pool`.

        Args:
            target: examples of the task, as in `select`.
            pool: a sample of the stream that texts will come from; without one, the first texts that are scored are it.

        Raises:
            InputError: they cannot be used.
            GotdError: something cannot be made; the message says what to do.
        """
        self._target, self._potentials = target, None
        if pool is not None:
            self._solve(pool)
        return self

    def score(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Calibrated gradient of the transport cost at each of `texts` (n,): the lower, the better; below 0 it helps.

        Texts are cleaned and embedded as those of the pool; none is left out. One without a letter or digit gets NaN.

        Raises:
            InputError: nothing was fitted.
        """
        import numpy as np
        import polars as pl

        from gotd_assets.corpus.texts.clean import clean_texts

        if self._target is None:
            raise InputError("score: call fit(target) first")
        texts = list(texts)
        if self._potentials is None:
            self._solve(texts)
        if self._potentials is None or self._making is None:
            raise RuntimeError("solved, and there are no potentials")
        cleaned = clean_texts(pl.Series("text", texts, dtype=pl.String), self._making.project.settings.preparation)
        has_word = cleaned.str.contains(r"[\p{L}\p{N}]").fill_null(value=False).to_numpy()
        scores = np.full(len(texts), np.nan)
        if has_word.any():
            scores[has_word] = self._potentials.scores(self._embedded(cleaned.filter(has_word).to_list())).numpy()
        return scores

    @property
    def certificate(self) -> Certificate:
        """How far the transport solve is from the optimum, proven.

        Raises:
            InputError: nothing was solved yet.
        """
        if self._potentials is None:
            raise InputError("certificate: nothing is solved before fit(target, pool) or the first score(texts)")
        return self._potentials.certificate

    def _solve(self, pool: Any) -> None:
        from gotd_assets.api.making import TARGET, Making
        from gotd_assets.selection.transport_problem import problem_of
        from gotd_assets.transport import Potentials

        making = Making(
            pool, self._target, text=self._text, encoder=self._encoder, home=self._home, settings=self._settings
        )
        making.run("ot_potentials", progress=self._progress)
        solved = making.artifact("ot_potentials", TARGET).file("potentials.safetensors")
        self._potentials = Potentials.load(solved, problem_of(making.project.settings.transport))
        self._making = making

    def _embedded(self, texts: list[str]) -> npt.NDArray[np.floating[Any]]:
        """Vectors of `texts` as they would be stored."""
        import numpy as np

        from gotd_assets.embedding.embed import load_encoder
        from gotd_assets.embedding.encoder import as_stored

        if self._making is None:
            raise RuntimeError("nothing was solved")
        settings = self._making.project.settings.encoder
        if callable(self._encoder):
            return as_stored(np.asarray(self._encoder(texts), dtype=np.float32), settings)
        if self._loaded is None:
            self._loaded = load_encoder(settings, self._making.root)
        return np.concatenate([as_stored(raw, settings) for raw in self._loaded.encode(texts, lambda *_: None)])
