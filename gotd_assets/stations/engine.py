"""The engine that a project's settings name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gotd_assets.execution.engine import Engine
    from gotd_assets.settings.compute import ComputeSettings


@contextlib.contextmanager
def engine_of(settings: ComputeSettings) -> Iterator[Engine]:
    """The engine, connected for as long as the block takes.

    Raises:
        ClusterError: the cluster cannot be used.
    """
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
    ) as engine:
        yield engine
