"""What transport was asked for, written down on its way through: nothing is replaced."""

from typing import Any

import pytest
import torch

from gotd_assets.transport import Problem
from gotd_assets.transport.problem import resolve_device
from gotd_assets.transport.solver import Solution, optimum


def devices_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the devices that are asked for from now on."""
    asked: list[str] = []

    def recorded(name: str) -> torch.device:
        asked.append(name)
        return resolve_device(name)

    monkeypatch.setattr("gotd_assets.transport.problem.resolve_device", recorded)
    return asked


def problems_solved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Problem, Solution]]:
    """Every problem that is solved from now on, with its solution."""
    found: list[tuple[Problem, Solution]] = []

    def recorded(source: Any, sketch: Any, problem: Problem, **rest: Any) -> Solution:
        solution = optimum(source, sketch, problem, **rest)
        found.append((problem, solution))
        return solution

    monkeypatch.setattr("gotd_assets.transport.potentials.optimum", recorded)
    return found
