"""How long a training will take, from its first updates."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gotd_assets.catalogue.durations import in_words
from gotd_assets.training.loop import Step

if TYPE_CHECKING:
    from gotd_assets.fingerprint import Json

# The first update is slower than the others: memory is allocated, kernels are chosen.
_SAMPLE = 4


@dataclasses.dataclass(frozen=True)
class TrainingEstimate:
    """What is ahead: updates, about how many predicted tokens, and hours on this machine, from the start."""

    steps: int
    tokens: int
    hours: float

    def __str__(self) -> str:
        return (
            f"{self.steps:,} updates, about {self.tokens:,} tokens: about {in_words(self.hours * 3600)} on this machine"
        )

    def as_summary(self) -> dict[str, Json]:
        """As a mapping for manifests."""
        return {f"estimated_{name}": value for name, value in dataclasses.asdict(self).items()}


class Forecast:
    """Looks at a training's progress and says once, early, how long it will take."""

    def __init__(self) -> None:
        self._first: Step | None = None
        self._said = False

    def take(self, progress: object) -> TrainingEstimate | None:
        """An estimate after the fourth update that is seen, None otherwise."""
        if not isinstance(progress, Step) or self._said:
            return None
        if self._first is None:
            self._first = progress
        seen = progress.step - self._first.step
        if seen < _SAMPLE - 1:
            return None
        self._said = True
        per_step = (progress.seconds - self._first.seconds) / seen
        tokens = (progress.tokens - self._first.tokens) / seen
        return TrainingEstimate(progress.steps, round(tokens * progress.steps), per_step * progress.steps / 3600)
