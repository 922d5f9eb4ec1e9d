"""A pass on all cores: each thread works on its own part of the source, with its own share of the cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor

from gotd_assets.execution.threads import TorchThreads

Partial: TypeAlias = tuple[Tensor, ...]


class Workers:
    """Threads for passes over a source, to be closed after the solve."""

    def __init__(self, device: torch.device) -> None:
        self._threads = TorchThreads(device, "transport")
        self.count = self._threads.count

    def sum(self, work: Callable[[int], Partial]) -> Partial:
        """Call `work(worker)` for every worker and add what they return, always in the same order."""
        if self.count == 1:
            return work(0)
        partials = list(self._threads.map(work, range(self.count)))
        return tuple(
            torch.stack(parts).sum(dim=0) if parts[0].ndim < 2 else sum(parts[1:], parts[0])
            for parts in zip(*partials, strict=True)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._threads.__exit__(*error)
