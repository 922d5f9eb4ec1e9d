"""A pass on all cores: every thread takes the next part of the source and computes on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeAlias, TypeVar

import torch
from torch import Tensor

from gotd_assets.execution.threads import TorchThreads

Partial: TypeAlias = tuple[Tensor, ...]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Workers:
    """Threads for passes over a source, to be closed after the solve.

    Operations outside them take one core meanwhile, too: how a long sum is rounded depends on the number of cores that
    share it, and potentials must not.
    """

    def __init__(self, device: torch.device) -> None:
        self._threads = TorchThreads(device, "transport", single=True)
        self._before = torch.get_num_threads()
        self.count = self._threads.count
        torch.set_num_threads(1)

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """`work(item)` of every item, in the order of `items`."""
        return self._threads.map(work, items)

    def sum(self, work: Callable[[int], Partial], parts: int) -> Partial:
        """Call `work(part)` for every part and add what they return, part by part in their order."""
        total: Partial = ()
        for partial in self.map(work, range(parts)):
            total = partial if not total else tuple(a.add_(b) for a, b in zip(total, partial, strict=True))
        return total

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        torch.set_num_threads(self._before)
        self._threads.__exit__(*error)
