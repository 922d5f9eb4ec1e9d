"""Potentials of an earlier solve to start the next one from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.errors import ArtifactError, TransportError

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.transport import Potentials, Problem, Sketch


def earlier_potentials(artifact: Artifact | None, sketch: Sketch, problem: Problem) -> Potentials | None:
    """The potentials in `artifact` if a solve of `problem` for `sketch` can start from them, else None.

    Where a solve starts shapes how long it takes, and its result only within the tolerance; so what cannot be read or
    does not fit (another encoder, another cost, a target that changed much, an older file format) is no error but a cold start.
    """
    from gotd_assets.transport import Potentials
    from gotd_assets.transport.warm_start import is_near

    if artifact is None:
        return None
    try:
        earlier = Potentials.load(artifact.file("potentials.safetensors"), problem)
    except (ArtifactError, TransportError, OSError):
        return None
    return earlier if earlier.problem.cost == problem.cost and is_near(earlier.sketch, sketch) else None
