"""A question about an artifact, what may be looked at to answer it, and the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gotd_assets.errors import CheckError, GotdError

if TYPE_CHECKING:
    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.artifacts.store import ArtifactStore
    from gotd_assets.settings.project import Project


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


@dataclasses.dataclass(frozen=True)
class CheckContext:
    """What a check may look at beside the artifact: the project's settings and its other artifacts."""

    project: Project
    store: ArtifactStore


@dataclasses.dataclass(frozen=True)
class Check:
    """A question about an artifact, evaluated by the step that makes it, before the artifact is published.

    Attributes:
        name: as the UI shows it.
        description: what it asks and why.
        evaluate: the answer.
        blocking: a failure keeps the artifact from being published: no later step reads it, in this run or another.
    """

    name: str
    description: str
    evaluate: Callable[[CheckContext, Artifact], Finding]
    blocking: bool = False


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A check and what it found."""

    check: Check
    finding: Finding


class HeldBackError(CheckError):
    """An artifact fails a blocking check. It stays on disk, but nothing may read it."""

    def __init__(self, artifact: Artifact, evaluated: Sequence[Evaluated]) -> None:
        sentences = "; ".join(f"{one.check.name}: {one.finding.sentence}" for one in _blocking(evaluated))
        super().__init__(f"{artifact.key} version {artifact.version} is held back by its checks. {sentences}")
        self.evaluated = evaluated


def evaluate(checks: Sequence[Check], context: CheckContext, artifact: Artifact) -> list[Evaluated]:
    """What every check finds; one that cannot be evaluated has failed.

    Raises:
        HeldBackError: a blocking one failed.
    """
    evaluated = [Evaluated(check, _finding(check, context, artifact)) for check in checks]
    if _blocking(evaluated):
        raise HeldBackError(artifact, evaluated)
    return evaluated


def _finding(check: Check, context: CheckContext, artifact: Artifact) -> Finding:
    try:
        return check.evaluate(context, artifact)
    except (GotdError, OSError) as error:
        return Finding(passed=False, sentence=f"could not be checked: {error}")


def _blocking(evaluated: Sequence[Evaluated]) -> list[Evaluated]:
    return [one for one in evaluated if one.check.blocking and not one.finding.passed]
