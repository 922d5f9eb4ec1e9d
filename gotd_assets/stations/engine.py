"""The engine that a project's settings name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gotd_assets.execution.engine import Engine
    from gotd_assets.stations.work import Work


@contextlib.contextmanager
def engine_of(work: Work) -> Iterator[Engine]:
    """The engine, connected for as long as the block takes; what is waited for is told in the log of `work`.

    Raises:
        ClusterError: the cluster cannot be used.
    """
    settings = work.settings.compute
    if settings.engine == "local":
        from gotd_assets.execution.processes import LocalEngine

        yield LocalEngine()
        return
    from gotd_assets.execution.ray_engine import ray_engine

    with ray_engine(
        address=settings.address,
        actors=settings.actors,
        cpus_per_actor=settings.cpus_per_actor,
        gpus_per_actor=settings.gpus_per_actor,
        memory_gb=settings.memory_gb,
        purpose=f"{work.key} of {work.root}",
        tell=functools.partial(work.log, always=True),
    ) as engine:
        yield engine
