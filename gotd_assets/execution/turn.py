"""A Ray cluster has one step at a time: others wait for their turn, and say so."""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import time
import uuid
from typing import TYPE_CHECKING

from gotd_assets.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TURN = "gotd turn"
_SECONDS_BETWEEN_TRIES = 1.0
_SECONDS_BETWEEN_LINES = 60.0
_SECONDS_TO_ANSWER = 10.0


class _Turn:
    """Held by the one that works on the cluster. Two that each had half of their actors would wait for each other forever."""

    def __init__(self, session: str, holder: str) -> None:
        self._session = session
        self._holder = holder

    def session(self) -> str:
        return self._session

    def holder(self) -> str:
        return self._holder


@contextlib.contextmanager
def turn(namespace: str, purpose: str, tell: Callable[[str], None] | None) -> Iterator[None]:
    """The cluster for oneself; whoever has it loses it when its process dies, since its actors do.

    Args:
        namespace: of Ray, the same for all that take turns.
        purpose: what it is taken for, told to others that wait.
        tell: hears of the one that is waited for, at once and every minute.
    """
    import ray

    session = uuid.uuid4().hex
    holder = (
        f"{purpose or 'a step'}, process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%H:%M:%S %Z')}"
    )
    kept = ray.remote(_Turn).options(name=_TURN, namespace=namespace, num_cpus=0, max_restarts=-1)
    begun, told = time.monotonic(), -math.inf
    while True:
        try:
            actor = kept.remote(session, holder)
            if ray.get(actor.session.remote()) == session:
                break
        except ray.exceptions.RayError as error:
            require_package(error)
            now = time.monotonic()
            if tell is not None and now - told >= _SECONDS_BETWEEN_LINES:
                told = now
                tell(_waiting(namespace, now - begun))
            time.sleep(_SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(actor, no_restart=True)


def require_package(error: BaseException) -> None:
    """Raise `error` as a sentence if it says that a node cannot load what this process knows.

    Raises:
        ClusterError: it says so.
    """
    said = str(error)
    if "failed to import on the worker" not in said:
        return
    node = re.search(r"ip=([^,)]+)", said)
    lines = [line.strip() for line in said.splitlines() if "Error:" in line]
    raise ClusterError(
        f"node {node[1] if node else 'of the Ray cluster'} cannot import gotd_assets ({lines[-1] if lines else 'Ray said no more'}): "
        "every node needs the same version of it, with the same extras"
    ) from error


def _waiting(namespace: str, seconds: float) -> str:
    import ray

    holder = "another step"
    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        actor = ray.get_actor(_TURN, namespace=namespace)
        holder = ray.get(actor.holder.remote(), timeout=_SECONDS_TO_ANSWER)
    return (
        f"waiting for the Ray cluster for {seconds:.0f} s: {holder} works on it, and one step at a time does; the turn passes on "
        "when that step ends: to end it, terminate its run in Dagster, or its process"
    )
