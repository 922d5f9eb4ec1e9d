"""Bootstrap samples, as counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def resampled_counts(items: int, resamples: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
    """How often each of `items` is in each bootstrap sample of as many: (resamples, items)."""
    return draw.multinomial(items, np.full(items, 1 / items), size=resamples)
