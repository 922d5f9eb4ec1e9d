"""The potential of the source, by shard: four bytes a row, of which no more is in memory than is worked on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gotd_assets.errors import TransportError
from gotd_assets.transport.files import write_tensors

_NAME = "f"


class Run(Protocol):
    """What has f at consecutive rows: a (n,) tensor, or whatever reads it when it is cut."""

    def __getitem__(self, rows: slice) -> Tensor: ...


@dataclasses.dataclass(frozen=True, eq=False)
class SourcePotential:
    """The source potential f (N,) float32, shard by shard.

    Attributes:
        shards: f at the rows of each shard of the source, which is read when it is cut.
        lengths: how many rows each has.
    """

    shards: Sequence[Run]
    lengths: Sequence[int]

    @classmethod
    def of(cls, f: Tensor, lengths: Sequence[int]) -> SourcePotential:
        """Of `f` (N,) in memory, of which `lengths` belong to each shard."""
        return cls(torch.split(f, list(lengths)), lengths)

    @classmethod
    def asked_for(cls, get: Callable[[int, int], Tensor], lengths: Sequence[int]) -> SourcePotential:
        """Where `get(begin, end)` gives f at rows [begin, end) of the source."""
        starts = itertools.accumulate(lengths, initial=0)
        return cls([_Asked(get, start) for start, _ in zip(starts, lengths, strict=False)], lengths)

    def __len__(self) -> int:
        """Rows of the source."""
        return sum(self.lengths)

    def rows(self, begin: int, end: int) -> Tensor:
        """F at rows [begin, end) of the source: (end − begin,) float32 on the CPU."""
        found, start = [], 0
        for shard, length in zip(self.shards, self.lengths, strict=True):
            first, last = max(begin - start, 0), min(end - start, length)
            if first < last:
                found.append(shard[first:last].cpu())
            start += length
        return found[0] if len(found) == 1 else torch.cat(found or [torch.empty(0)])

    def take(self, rows: Tensor) -> Tensor:
        """F at ascending `rows` (n,): (n,) float32 on the CPU."""
        wanted, found, start = rows.numpy(), [torch.empty(0)], 0
        for shard, length in zip(self.shards, self.lengths, strict=True):
            local = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + length)] - start
            if len(local):
                found.append(shard[0:length].cpu()[torch.from_numpy(local)])
            start += length
        return torch.cat(found)

    def mean(self, weights: Tensor) -> float:
        """Σ_i `weights`_i f_i; `weights` (N,) float64."""
        starts = itertools.accumulate(self.lengths, initial=0)
        return sum(
            float(weights[start : start + length] @ shard[0:length].cpu().double())
            for shard, length, start in zip(self.shards, self.lengths, starts, strict=False)
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole of it, (N,)."""
        del copy
        return np.asarray(self.rows(0, len(self)).numpy(), dtype=dtype)

    def save(self, path: Path) -> None:
        """Write it beside the safetensors file `path`, a file for each shard, named after it."""
        for shard, length, file in zip(self.shards, self.lengths, _files(path, len(self.lengths)), strict=True):
            write_tensors(file, {_NAME: shard[0:length].cpu()}, {})

    @classmethod
    def saved(cls, path: Path, lengths: Sequence[int]) -> SourcePotential | None:
        """What `save` wrote beside `path`, which is read when it is asked for; None if files of it are not there (any more)."""
        files = _files(path, len(lengths))
        return cls([_Saved(file) for file in files], lengths) if all(file.is_file() for file in files) else None


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A shard whose first row is row `start` of the source."""

    get: Callable[[int, int], Tensor]
    start: int

    def __getitem__(self, rows: slice) -> Tensor:
        return self.get(self.start + rows.start, self.start + rows.stop)


@dataclasses.dataclass(frozen=True)
class _Saved:
    """A shard in a file."""

    path: Path

    def __getitem__(self, rows: slice) -> Tensor:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.path), framework="pt") as file:
                found: Tensor = file.get_slice(_NAME)[rows]
        except (OSError, SafetensorError) as error:
            raise TransportError(f"{self.path} cannot be read as safetensors: {error}") from error
        if len(found) != rows.stop - rows.start:
            raise TransportError(f"{self.path} has no rows {rows.start} to {rows.stop}: it is of another solve")
        return found


def _files(path: Path, count: int) -> list[Path]:
    return [path.with_name(f"{path.stem}-f-{number:05d}-of-{count:05d}.safetensors") for number in range(1, count + 1)]
