"""The transport problem that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.errors import TransportError

if TYPE_CHECKING:
    from gotd_assets.settings.transport import TransportSettings
    from gotd_assets.transport import Problem


def problem_of(settings: TransportSettings) -> Problem:
    """What every solve and every scoring of a project goes by.

    Potentials that are read with it are scored with, and solved from, on its device and in its memory; what they solve
    is their file's.

    Raises:
        TransportError: the device is not one of this machine.
    """
    from gotd_assets.transport import Problem

    try:
        return Problem(
            cost=settings.cost,
            epsilon=settings.epsilon,
            epsilon_scale=settings.epsilon_scale,
            reach=settings.reach,
            tolerance=settings.tolerance,
            overlap=settings.overlap,
            score_error=settings.score_error,
            max_passes=settings.max_passes,
            solver=settings.solver,
            products=settings.products,
            device=settings.device,
            memory_bytes=int(settings.memory_budget_gb * 2**30),
        )
    except TransportError as error:
        # Its sentences begin with what is wrong, which the settings call the same.
        raise TransportError(f"transport.{error}") from error
