"""From content seen at each look to requests: each change once, when it is still, and never two at a time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from typing import Literal, Self

State = Literal["unchanged", "asked", "moving", "busy", "due"]


@dataclasses.dataclass(frozen=True)
class Sight:
    """What was seen of one thing.

    Attributes:
        content: fingerprint of its content at the last look.
        since: Unix time at which this content was first seen.
        asked: content for which a run was asked last, until it is current.
        same_as: current content that was found to mean the same, though files differ.
        run_key: of the run that was asked for last.
        again: how often it was asked for again, as it never began.
    """

    content: str
    since: float
    asked: str | None = None
    same_as: str | None = None
    run_key: str | None = None
    again: int = 0


@dataclasses.dataclass(frozen=True)
class Request:
    """A run to start.

    Attributes:
        name: of the source or target.
        run_key: the same for the same change, however often it is asked.
        reason: a sentence for people.
    """

    name: str
    run_key: str
    reason: str


@dataclasses.dataclass
class Memory:
    """What a sensor remembers from one look to the next; kept as its cursor.

    Attributes:
        sights: by name of what was seen.
        retired: time (ISO 8601) at which a target was gone, by name.
    """

    sights: dict[str, Sight] = dataclasses.field(default_factory=dict)
    retired: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None) -> Self:
        """The memory in `cursor`; an empty one if there is none or it is not one of ours.

        Losing it is harmless: what is current is read from artifacts, so only the waiting for stillness starts again.
        """
        try:
            content = json.loads(cursor or "{}")
            sights = {name: Sight(**sight) for name, sight in content.get("sights", {}).items()}
            return cls(sights, dict(content.get("retired", {})))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def as_cursor(self) -> str:
        """As text for the sensor's cursor."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def look(
        self, name: str, content: str, current: str | None, *, now: float, debounce: float, busy: bool = False
    ) -> State:
        """Take note of `content` and say what it asks for; after 'due' the caller must `ask`, `settle`, or look again later.

        Args:
            name: of what is looked at.
            content: fingerprint of what is there now.
            current: fingerprint of what the current artifact was made from, None if there is none.
            now: Unix time.
            debounce: seconds for which content must not have changed.
            busy: a run that reads it is on its way; what it leaves undone asks for one more.
        """
        before = self.sights.get(name)
        same = before is not None and before.content == content
        sight = before if before is not None and same else Sight(content, now, before.asked if before else None)
        if sight.since > now:
            # The clock was ahead then; without this the content would count as moving until it is reached again.
            sight = dataclasses.replace(sight, since=now)
        is_current = content == current or (current is not None and sight.same_as == current)
        if is_current:
            # Once it is current, asking for other content again is a new change.
            sight = dataclasses.replace(sight, asked=None, run_key=None, again=0)
        self.sights[name] = sight
        if is_current:
            return "unchanged"
        if content == sight.asked:
            return "asked"
        if now - sight.since < debounce:
            return "moving"
        return "busy" if busy else "due"

    def ask(self, name: str, run_key: str | None = None) -> str:
        """Remember that a run was asked for what was last seen of `name`, by `run_key` if that exists; returns the run key.

        The key holds the time at which the content appeared, so that content that comes back later is a new change,
        while the same change asked twice (a tick that was killed before its cursor was kept) is one run.
        """
        sight = self.sights[name]
        again = sight.again + 1 if sight.asked == sight.content else 0
        key = run_key or f"{name}:{sight.content}:{sight.since:.3f}" + (f":{again}" if again else "")
        self.sights[name] = dataclasses.replace(sight, asked=sight.content, run_key=key, again=again)
        return key

    def settle(self, name: str, current: str) -> None:
        """Remember that what was last seen of `name` means the same as `current`: it asks for nothing while that is so."""
        self.sights[name] = dataclasses.replace(self.sights[name], asked=None, run_key=None, again=0, same_as=current)

    def retire(self, names: Collection[str], when: str) -> None:
        """Forget what was seen of `names`; remember that they are gone."""
        for name in names:
            self.retired[name] = when
            for seen in [key for key in self.sights if key.split("#")[0] == name]:
                del self.sights[seen]
