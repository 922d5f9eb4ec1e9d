"""The answer to one question about an artifact."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        passed: whether the artifact is fit.
        sentence: what was found; if it is not fit, also what to do.
        figures: numbers behind it, by stable names.
    """

    passed: bool
    sentence: str
    figures: Mapping[str, float | int | str] = dataclasses.field(default_factory=dict)
