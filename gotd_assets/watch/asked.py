"""What became of the run that a sensor asked for, and what a person can do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, TypeAlias

from gotd_assets.watch.memory import Sight

_FIRST_WAIT, _LONGEST_WAIT = 60.0, 3600.0


@dataclasses.dataclass(frozen=True)
class Asked:
    """The newest run for one request.

    Attributes:
        run_id: of the run.
        state: 'going'; 'failed' in a step; 'never began', as it failed before or beside every step; or 'canceled'.
        ended: Unix time of its end, 0 while it is going.
    """

    run_id: str
    state: Literal["going", "failed", "never began", "canceled"]
    ended: float = 0.0


Find: TypeAlias = Callable[[str], Asked | None]
"""The newest run for a run key; None if the orchestrator has none (yet)."""


def is_due_again(sight: Sight, run: Asked | None, now: float) -> bool:
    """Whether to ask once more: the run never began, which is nobody's fault, and some time has passed; more each time."""
    return run is not None and run.state == "never began" and now - run.ended >= _wait(sight)


def remedy(sight: Sight, run: Asked | None, now: float) -> str:
    """What there is to say of a request that has come to nothing yet."""
    if run is None:
        return "a run was asked for its files as they are now"
    name = f"run {run.run_id[:8]}"
    match run.state:
        case "going":
            return f"{name} reads its files as they are now"
        case "never began":
            seconds = max(0, round(run.ended + _wait(sight) - now))
            return f"{name} failed before any of its steps did; it is asked for again in {seconds} s"
        case "canceled":
            return f"{name} was canceled; re-execute it on its page, or start `gotd run`"
        case "failed":
            return (
                f"{name} failed; its page says why: mend that, then re-execute it there or start `gotd run`. Other content "
                "of the files starts a new run by itself"
            )


def _wait(sight: Sight) -> float:
    return min(_FIRST_WAIT * 2.0**sight.again, _LONGEST_WAIT)
