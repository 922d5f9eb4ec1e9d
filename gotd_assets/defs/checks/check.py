"""One check of one asset, evaluated by the step that makes it, before the artifact is published."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from gotd_assets.quality import Finding

if TYPE_CHECKING:
    from gotd_assets.defs.station import Station
    from gotd_assets.storage import Artifact


@dataclasses.dataclass(frozen=True)
class Check:
    """A question about an artifact.

    Attributes:
        name: as the UI shows it.
        description: what it asks and why.
        evaluate: the answer, from the station (settings, other artifacts) and its artifact.
        blocking: a failure keeps the artifact from being published: no later step reads it, in this run or another.
    """

    name: str
    description: str
    evaluate: Callable[[Station, Artifact], Finding]
    blocking: bool = False
